"""Food-101 (Bossard et al. 2014): 101,000 photos of dishes, 101 classes.

The test photos were cleaned by hand, the training photos on purpose not. meta/ has the classes, and
for each split a line a photo: its class and number.
"""

from pathlib import Path

from unfreeze.data.acquire.layout import Entry, Index, read_members, table
from unfreeze.fetching.assets import Asset

KIND = "photos"
CLASSES, COUNT = None, 101
TRAIN, TEST = 75_750, 25_250
SIZES = "many, at most 512 pixels long"
MEAN = STD = None
URL = "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/"
LICENCE = ("none stated; photos from Foodspotting, any use beyond scientific fair use must be "
           "negotiated with their owners")
CITATION = ("L. Bossard, M. Guillaumin, L. Van Gool. Food-101 - Mining Discriminative Components "
            "with Random Forests. ECCV 2014.")

ASSETS = (Asset("Food-101", "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
                md5="85eeb15f3717b99a5da872d97d918f87"),)

_FILES = ("classes", "train", "test")


def index(paths: dict[str, Path]) -> Index:
    """The photos of meta/train.txt and meta/test.txt; labels are in the classes' sorted order."""
    (archive, path), = paths.items()
    classes, training, test = (
        [line for line, in table(content)]
        for content in read_members(path, *(f"food-101/meta/{name}.txt" for name in _FILES)))
    labels = {name: label for label, name in enumerate(sorted(classes))}
    return Index(tuple(name.replace("_", " ") for name in labels), [
        Entry(split, labels[photo.split("/")[0]], archive, f"food-101/images/{photo}.jpg")
        for split, photos in (("train", training), ("test", test)) for photo in photos])
