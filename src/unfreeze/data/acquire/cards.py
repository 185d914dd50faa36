"""What is in a dataset: its card.json, counted when it is fetched."""

import hashlib
import io
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from unfreeze import places
from unfreeze.data import photos
from unfreeze.data.photos import archive
from unfreeze.data.reading.arrays import Arrays

EXAMPLES = 10
UNEQUAL = 3  # times as many images of a class as of another, from which on it is told


def of_arrays(content: Arrays, classes: Sequence[str]) -> dict:
    """The parts of a card that are counted, of a dataset of arrays."""
    height, width = content.train_images.shape[1:3]
    first = {_digest(image): i for i, image in reversed(list(enumerate(content.train_images)))}
    pairs = [[f"training image {first[digest]}", f"test image {i}"]
             for i, digest in enumerate(map(_digest, content.test_images)) if digest in first]
    return counts(classes, content.train_labels, content.test_labels) | {
        "sizes": {"smallest": [width, height], "median": [width, height],
                  "largest": [width, height]},
        "duplicates": duplicates(pairs),
    }


def _digest(image: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(image).data).digest()


def of_photos(collection: photos.Collection, sizes: list[tuple[int, int]]) -> dict:
    """The parts of a card that are counted, of photos.

    Args:
        collection: in two splits.
        sizes: (width, height) of some or all of them.
    """
    labels = {split: [photo.label for photo in collection.photos if photo.split == split]
              for split in ("train", "test")}
    unread = any(not photo.sha256 for photo in collection.photos)

    def pairs(found: Iterable[tuple[photos.Photo, photos.Photo]]) -> dict | None:
        # Where nobody has read the files, nobody knows.
        return duplicates(None if unread else [
            [first.member, second.member] for first, second in found])

    order = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return counts(collection.classes, **labels) | {
        "sizes": {"smallest": list(order[0]),
                  "median": [round(median(side)) for side in zip(*order, strict=True)],
                  "largest": list(order[-1])} if order else None,
        "duplicates": pairs(photos.duplicates(collection)),
        "repeated": pairs(photos.repeated(collection)),
        "contradictory": pairs(photos.contradictory(collection)),
    }


def counts(classes: Sequence[str], train: Sequence[int], test: Sequence[int]) -> dict:
    """{"classes", "train" and "test": how many images, "counts": {split: of each class}}."""
    of_class = {split: Counter(np.asarray(labels).tolist())
                for split, labels in (("train", train), ("test", test))}
    return {
        "classes": list(classes), "train": len(train), "test": len(test),
        "counts": {split: [count[label] for label in range(len(classes))]
                   for split, count in of_class.items()},
    }


def duplicates(pairs: list[list[str]] | None) -> dict | None:
    """{"images": how many pairs of images of the same bytes, "examples": some of them}; the second
    of a pair is one that is too many, such as a test image that is a training image too."""
    return None if pairs is None else {"images": len(pairs), "examples": pairs[:EXAMPLES]}


def sizes(path: Path, members: list[str]) -> list[tuple[int, int]]:
    """(width, height) of the images with these names in a folder or an archive, as their files have
    them, in no certain order."""
    sizes = []
    if archive.is_tar(path):
        contents = (member.content for member in archive.members(path, set(members).__contains__))
    else:
        reader = archive.Reader(path)
        contents = map(reader.read, members)
    for content in contents:
        if content is not None:
            with Image.open(io.BytesIO(content)) as image:
                sizes.append(image.size)
    return sizes


def warn(card: dict) -> None:
    """A line on standard error for each way in which images are there more often than once."""
    for key, words, mend in (
            ("duplicates", leakage(card), "Accuracy on them is memory: remove them from one of the "
             "splits"),
            ("contradictory", contradiction(card), "One of the labels is wrong: remove them from "
             "one of the classes"),
            ("repeated", repetition(card), "What is held out for validation may be trained on: "
             "remove all copies but one")):
        if words:
            first, second = card[key]["examples"][0]
            print(f"warning: {card['name']}: {words}, such as {first!r} and {second!r}; "
                  f"{places.DATA}/{card['name']}/card.json lists some. {mend}",
                  file=sys.stderr, flush=True)


def leakage(card: dict) -> str:
    """How many test images are training images too, in words; "" for none."""
    leaked = _count(card, "duplicates")
    if not leaked:
        return ""
    verb = "image is a training image" if leaked == 1 else "images are training images"
    return f"{leaked} of {card['test']} test {verb} too, byte for byte"


def contradiction(card: dict) -> str:
    """How many images are there in another class too, in words; "" for none."""
    count = _count(card, "contradictory")
    if not count:
        return ""
    return (f"{count} image{' is an image' if count == 1 else 's are images'} of another class "
            "too, byte for byte")


def repetition(card: dict) -> str:
    """How many training images are copies of others, in words; "" for none."""
    count = _count(card, "repeated")
    if not count:
        return ""
    return (f"{count} of {card['train']} training images "
            f"{'is a copy of another' if count == 1 else 'are copies of others'}")


def _count(card: dict, key: str) -> int:
    return (card.get(key) or {"images": 0})["images"]


def majority(classes: Sequence[str], counts: Sequence[int]) -> tuple[str, float] | None:
    """The largest class and its share of the images, which is how often one is right who always
    answers that; None where classes are about equal.

    Args:
        counts: of each class.
    """
    most = max(counts)
    if most < UNEQUAL * min(counts):
        return None
    return classes[list(counts).index(most)], most / sum(counts)
