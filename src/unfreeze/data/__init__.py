"""From a dataset's name to batches on the device.

assets.py and sources.py say where bytes come from and fetch them, datasets/ knows each dataset of
the catalogue, layout.py keeps the official files of those that are photos, photos/ reads folders
and archives of photos, own.py finds the user's own. arrays.py and maps.py are the two forms in
which images are kept, cards.py counts what is in them, subsets.py draws indices, batches.py makes
batches.

What depends on this folder: config.py, the stages fetch-data, decode, show-data, fetch-weights and
subset, models/ (assets), training/ (arrays, maps and batches), reporting/ (cards and maps).
"""
