"""Oxford-IIIT Pet (Parkhi et al. 2012): 7,349 photos of cats and dogs, 37 breeds.

Each split is a file with a line a photo: its name, which begins with the breed, the breed's number
from 1, cat or dog, and the breed's number among those.
"""

from pathlib import Path

from unfreeze.data.acquire.layout import Entry, Index, read_members, table
from unfreeze.fetching.assets import Asset

KIND = "photos"
CLASSES, COUNT = None, 37
TRAIN, TEST = 3_680, 3_669
SIZES = "many"
MEAN = STD = None
URL = "https://www.robots.ox.ac.uk/~vgg/data/pets/"
LICENCE = "CC BY-SA 4.0; the photos belong to their original owners"
CITATION = "O. M. Parkhi, A. Vedaldi, A. Zisserman, C. V. Jawahar. Cats and Dogs. CVPR 2012."

ASSETS = (
    Asset("Oxford-IIIT Pet, photos", f"{URL}data/images.tar.gz",
          md5="5c4f3ee8e5d25df40f4fd59a7f44e54c"),
    Asset("Oxford-IIIT Pet, labels", f"{URL}data/annotations.tar.gz",
          md5="95a8c909bbe2e81eed6a22bccdf3f68f"),
)

_FILES = {"train": "annotations/trainval.txt", "test": "annotations/test.txt"}


def index(paths: dict[str, Path]) -> Index:
    """The photos of trainval.txt, which are the training split, and of test.txt."""
    names, entries = {}, []
    for split, content in zip(_FILES, read_members(paths["annotations.tar.gz"], *_FILES.values()),
                              strict=True):
        for photo, number, _, _ in table(content):
            names[int(number)] = photo.rsplit("_", 1)[0].replace("_", " ").title()
            entries.append(Entry(split, int(number) - 1, "images.tar.gz", f"images/{photo}.jpg"))
    return Index(tuple(names[number] for number in sorted(names)), entries)
