"""From a dataset's name to batches on the device.

    catalogue/   one file a dataset
    own/         images of the user's own
    facts.py     what is known of either before anything is fetched
    acquire/     bringing a dataset into its folder, and counting what is in it
    photos/      reading folders and archives of photos; from a picture to what a model sees
    decoding/    photos decoded once, at the size that models see
    subsets/     seeded index lists
    reading/     from what is stored to batches; what training reads
"""
