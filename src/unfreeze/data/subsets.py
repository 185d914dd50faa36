"""Seeded subsets of a dataset, as index lists.

The images of each class are shuffled with the seed and the classes interleaved in proportion to
their sizes, which puts the whole split in one order; a fraction is a prefix of it. So every subset
is stratified (classes of equal size differ by at most one image) and a smaller one lies within a
larger one, validation within validation and train within train. The test images depend on
`test_fraction` alone: every run and every seed of a study is scored on the same images.

What depends on it: config.py (names and checks) and the stage subset.
"""

import numpy as np

from unfreeze.errors import UserError

ARGUMENTS = ("dataset", "fraction", "validation", "test_fraction")
TEST_SEED = 0


def file_name(dataset: str, fraction: float, validation: float, test_fraction: float,
              seed: int) -> str:
    """Name of the index file, the same for the same numbers however they are written."""
    return (f"{dataset}-train{float(fraction)!r}-val{float(validation)!r}"
            f"-test{float(test_fraction)!r}-seed{seed}.json")


def check(images: int, classes: int, fraction: float, validation: float) -> None:
    """Can there be a training image for each class? What `draw` needs at least.

    Raises:
        UserError: there are too few images.
    """
    taken = round(fraction * images)
    left = taken - int(validation * taken)
    if left < classes:
        raise UserError(f"{fraction} of {images} images leaves {left} to use, fewer than the "
                        f"{classes} classes; take a larger fraction")


def stratified_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A seeded order of all images in which every prefix is stratified.

    Args:
        labels: (N,) class of each image.
        rng: randomness.

    Returns:
        (N,) indices.
    """
    place = np.empty(len(labels))
    tie = rng.random(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        shuffled = rng.permutation(members)
        place[shuffled] = (np.arange(len(members)) + 0.5) / len(members)
    return np.lexsort((tie, place))


def validation_mask(labels: np.ndarray, validation: float,
                    rng: np.random.Generator) -> np.ndarray:
    """Which images of an order are held out; a prefix's answer is a prefix of the answer.

    Args:
        labels: (N,) class of each image, in the order of `stratified_order`.
        validation: share to hold out, from 0 up to but not including 1.
        rng: randomness; which class rounds up first.

    Returns:
        (N,) bool; of the first r images of a class, r * validation rounded up or down are held out.
    """
    mask = np.zeros(len(labels), dtype=bool)
    classes = np.unique(labels)
    # Offsets spread over 0..1 make the classes round up in turn, so that the total is right too.
    offsets = rng.permutation(len(classes)) / len(classes)
    for label, offset in zip(classes, offsets, strict=True):
        members = np.flatnonzero(labels == label)
        count = np.floor(np.arange(len(members) + 1) * validation + offset)
        mask[members] = np.diff(count) > 0
    return mask


def draw(train_labels: np.ndarray, test_labels: np.ndarray, fraction: float, validation: float,
         test_fraction: float, seed: int) -> dict[str, list[int]]:
    """Draw the indices of a subset.

    Args:
        train_labels, test_labels: (N,) and (M,) classes of the images of the two splits.
        fraction: of the training split, above 0 and at most 1.
        validation: share of that fraction to hold out, from 0 up to but not including 1.
        test_fraction: of the test split, above 0 and at most 1.
        seed: of the training and validation images.

    Returns:
        {"train", "validation", "test": indices into their split}; train and validation disjoint.

    Raises:
        UserError: a class would have no training image.
    """
    classes = len(np.unique(train_labels))
    check(len(train_labels), classes, fraction, validation)
    check(len(test_labels), classes, test_fraction, 0)
    rng = np.random.Generator(np.random.PCG64(seed))
    order = stratified_order(train_labels, rng)
    held_out = validation_mask(train_labels[order], validation, rng)
    size = round(fraction * len(order))
    order, held_out = order[:size], held_out[:size]
    train = order[~held_out]
    without = classes - len(np.unique(train_labels[train]))
    if without:
        raise UserError(f"fraction {fraction} and validation {validation} leave {without} of the "
                        f"{classes} classes without a training image; take a larger fraction")
    test = stratified_order(test_labels, np.random.Generator(np.random.PCG64(TEST_SEED)))
    return {
        "train": train.tolist(),
        "validation": order[held_out].tolist(),
        "test": sorted(test[:round(test_fraction * len(test))].tolist()),
    }
