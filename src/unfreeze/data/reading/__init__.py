"""From what is stored to batches on the device.

    arrays.py         stored arrays: small images of one size, with labels and a card
    decoded.py        decoded photos, and row_file.py, how they are read
    splits.py         images and labels of a dataset, whichever way they are kept
    resizing.py       stored arrays at the size that a model sees
    pixels.py         where the chosen images lie while a model is trained on them
    images.py         batches of them, in order or shuffled, with augmentation.py and normalise.py
    augmentations/    one file each
    mixing.py         mixup and CutMix
"""
