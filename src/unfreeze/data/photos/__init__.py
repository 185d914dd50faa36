"""Photos of many sizes: a folder or an archive of class folders, read in place.

    archive.py     members of a folder, .zip or .tar, safely; nothing is ever extracted
    links.py       where symbolic links may lead
    pixels.py      bytes -> an RGB image
    kinds.py       what a file is that is no image
    levels.py      samples of more than 8 bits -> 8
    preprocess.py  bytes -> the square that the model sees: the one way there
    folders.py     splits by whatever usual name, classes, junk
    collection.py  which photos there are, of which class and split, and what is wrong with them

Only Pillow and NumPy are needed, no torch.
"""

from unfreeze.data.photos.collection import (
    Collection,
    Photo,
    alike,
    below_classes,
    contradictory,
    digest,
    duplicates,
    examine,
    repeated,
    scan,
    settle_splits,
)
from unfreeze.data.photos.pixels import decode
from unfreeze.data.photos.preprocess import resize_and_crop

__all__ = ["Collection", "Photo", "alike", "below_classes", "contradictory", "decode", "digest",
           "duplicates", "examine", "repeated", "resize_and_crop", "scan", "settle_splits"]
