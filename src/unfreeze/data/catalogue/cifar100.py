"""CIFAR-100 (Krizhevsky 2009): 60,000 colour images of 32x32 pixels, a hundred classes.

The official binary form has, for an image, a byte for its superclass (of twenty), a byte for its
class, and 1,024 red, 1,024 green and 1,024 blue bytes. The published MD5 is the archive's; no
digest of the arrays is pinned.
"""

import numpy as np

from unfreeze.data.reading.arrays import Arrays
from unfreeze.errors import UserError
from unfreeze.fetching.assets import Asset
from unfreeze.fetching.sources import Source, check_md5

KIND = "arrays"
CLASSES = (
    "apple", "aquarium fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup",
    "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house",
    "kangaroo", "keyboard", "lamp", "lawn mower", "leopard", "lion", "lizard", "lobster", "man",
    "maple tree", "motorcycle", "mountain", "mouse", "mushroom", "oak tree", "orange", "orchid",
    "otter", "palm tree", "pear", "pickup truck", "pine tree", "plain", "plate", "poppy",
    "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal",
    "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar",
    "sunflower", "sweet pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow tree", "wolf", "woman",
    "worm",
)
COUNT = len(CLASSES)
TRAIN, TEST = 50_000, 10_000
SIZES = "32 x 32"
MEAN = (0.5071, 0.4865, 0.4409)
STD = (0.2673, 0.2564, 0.2762)
DIGEST = None
URL = "https://www.cs.toronto.edu/~kriz/cifar.html"
LICENCE = "none stated"
CITATION = "A. Krizhevsky. Learning Multiple Layers of Features from Tiny Images. 2009."

ASSETS = (Asset("CIFAR-100", "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                md5="03b5dce01913d631647c71ecec9e9cb8"),)

_RECORD = 2 + 3 * 32 * 32


def read(source: Source) -> Arrays:
    """The arrays of a source, with the hundred classes as labels.

    Raises:
        UserError: the archive is not the published one.
    """
    check_md5(source, ASSETS[0])
    files = {"cifar-100-binary/train.bin": TRAIN, "cifar-100-binary/test.bin": TEST}
    members = source.members(files)
    arrays = []
    for name, count in files.items():
        if len(members[name]) != count * _RECORD:
            raise UserError(f"{source.label}: {name} has {len(members[name])} bytes, not "
                            f"{count} records of {_RECORD}")
        records = np.frombuffer(members[name], np.uint8).reshape(-1, _RECORD)
        images = records[:, 2:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        arrays += [np.ascontiguousarray(images), records[:, 1].astype(np.int64)]
    return Arrays(*arrays)
