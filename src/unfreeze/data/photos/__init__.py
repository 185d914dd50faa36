"""Photos of many sizes: a folder or an archive of class folders, read in place.

    archive.py     members of a folder, .zip or .tar, safely; nothing is ever extracted
    pixels.py      bytes -> an RGB image -> the square that the model sees
    collection.py  which photos there are, of which class and split, and what is wrong with them
    maps.py        photos -> a memory map (N, S, S, 3) uint8

Only Pillow and NumPy are needed, no torch. What depends on this folder: the stages fetch-data and
decode.
"""

from unfreeze.data.photos.collection import (
    Collection,
    Photo,
    digest,
    duplicates,
    examine,
    scan,
    settle_splits,
)
from unfreeze.data.photos.maps import ingest, statistics
from unfreeze.data.photos.pixels import decode, resize_and_crop

__all__ = ["Collection", "Photo", "decode", "digest", "duplicates", "examine", "ingest",
           "resize_and_crop", "scan", "settle_splits", "statistics"]
