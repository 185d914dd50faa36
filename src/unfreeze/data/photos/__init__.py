"""Photos of many sizes: a folder or an archive of class folders, read in place.

    archive.py   members of a folder, .zip or .tar, safely; nothing is ever extracted
    decode.py    bytes -> an RGB image -> the square that the model sees
    scan.py      which photos there are, of which class and split, and what is wrong with them
    ingest.py    photos -> a memory map (N, S, S, 3) uint8

Only Pillow and NumPy are needed, no torch. What depends on this folder: the stages fetch-data and
decode.
"""

from unfreeze.data.photos.archive import open_member
from unfreeze.data.photos.decode import decode, resize_and_crop
from unfreeze.data.photos.ingest import ingest, statistics
from unfreeze.data.photos.scan import (
    Collection,
    Photo,
    digest,
    duplicates,
    examine,
    scan,
    settle_splits,
)

__all__ = ["Collection", "Photo", "decode", "digest", "duplicates", "examine", "ingest",
           "open_member", "resize_and_crop", "scan", "settle_splits", "statistics"]
