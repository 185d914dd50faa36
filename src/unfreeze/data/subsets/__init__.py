"""Seeded subsets of a dataset, as index lists.

The images of each class are shuffled with the seed and the classes interleaved in proportion to
their sizes, which puts the whole split in one order; a fraction is a prefix of it. So every subset
is stratified (classes of equal size differ by at most one image) and a smaller one lies within a
larger one, validation within validation and train within train. A seed chooses images and not
classes: every seed has as many of each class to train on, and to hold out. The test images depend
on `test_fraction` alone: every run and every seed of a study is scored on the same images.

For cross-validation the images of a subset, those that would be held out included, are divided into
folds. A fold is held out in place of the share `validation`, and no test image is named: what
trains on it is a trial of a search.

Images that belong together (of a patient, of an object) are trained on or held out together; shares
are then kept as far as groups allow, and a smaller subset's need not lie within a larger one's.

    train_groups.npy    in a dataset's folder, where there are such groups: (N,) int64, equal for
                        training images of one group
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from unfreeze import places
from unfreeze.errors import UserError

TEST_SEED = 0


def file_name(dataset: str, validation: float, test_fraction: float, seed: int,
              fraction: float = 1.0, per_class: int = 0, fold: int = 0, folds: int = 1) -> str:
    """Name of the index file, the same for the same numbers however they are written."""
    size = f"each{per_class}" if per_class else f"train{float(fraction)!r}"
    if folds > 1:
        return f"{dataset}-{size}-fold{fold + 1}of{folds}-seed{seed}.json"
    return (f"{dataset}-{size}-val{float(validation)!r}-test{float(test_fraction)!r}"
            f"-seed{seed}.json")


def check(images: int, classes: int, fraction: float, validation: float) -> None:
    """Can there be an image for each class? What `draw` needs at least of the training or the test
    images.

    Raises:
        UserError: there are too few images.
    """
    taken = round(fraction * images)
    left = taken - int(validation * taken)
    if left < classes:
        raise UserError(f"{fraction} of {images} images leaves {left} to use, fewer than the "
                        f"{classes} classes; take a larger fraction")


def check_per_class(smallest: int, per_class: int) -> None:
    """Are there as many training images of each class?

    Args:
        smallest: images that every class has, at least.

    Raises:
        UserError: there are not.
    """
    if per_class > smallest:
        raise UserError(f"{per_class} is more than the {smallest} training images of the smallest "
                        f"class; allowed: 0 (off) to {smallest}")


def check_folds(images: int, classes: int, folds: int) -> None:
    """Can each fold hold an image out, and leave every class one to train on?

    Args:
        images: of the subset.

    Raises:
        UserError: there are too few images.
    """
    if images < max(folds, 2 * classes):
        raise UserError(f"{folds} folds need {max(folds, 2 * classes)} images or more, two of each "
                        f"class, and {images} are used")


def stratified_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A seeded order of all images in which every prefix is stratified.

    Args:
        labels: (N,) class of each image.
        rng: randomness.

    Returns:
        (N,) indices.
    """
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        shuffled = rng.permutation(members)
        rank[shuffled] = (np.arange(len(members)) + 0.5) / len(members)
    return np.lexsort((labels, rank))


def validation_mask(labels: np.ndarray, validation: float) -> np.ndarray:
    """Which images of an order are held out; a prefix's answer is a prefix of the answer.

    Args:
        labels: (N,) class of each image, in the order of `stratified_order`.
        validation: share to hold out, from 0 up to but not including 1.

    Returns:
        (N,) bool; of the first r images of a class, r * validation rounded up or down are held out.
    """
    mask = np.zeros(len(labels), dtype=bool)
    classes = np.unique(labels)
    # Offsets spread over 0..1 make the classes round up in turn, so that the total is right too.
    offsets = np.arange(len(classes)) / len(classes)
    for label, offset in zip(classes, offsets, strict=True):
        members = np.flatnonzero(labels == label)
        count = np.floor(np.arange(len(members) + 1) * validation + offset)
        mask[members] = np.diff(count) > 0
    return mask


def fold_mask(labels: np.ndarray, fold: int, folds: int) -> np.ndarray:
    """Which images of a subset are held out in a fold. Each is in one fold, the folds are of equal
    size, of each class and in all, to within one image.

    Args:
        labels: (N,) class of each image, in the order of `stratified_order`.
        fold: from 0.

    Returns:
        (N,) bool.
    """
    place = np.empty(len(labels), dtype=int)
    place[np.argsort(labels, kind="stable")] = np.arange(len(labels))
    return place % folds == fold


def load_groups(folder: Path) -> np.ndarray | None:
    """The groups of the training images of a dataset; None where there are none.

    Raises:
        UserError: the file is damaged.
    """
    file = folder / places.TRAIN_GROUPS
    if not file.exists():
        return None
    try:
        return np.load(file)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{file}: cannot be read ({error}); delete {folder} and run `dvc repro`"
                        ) from None


def grouped_mask(labels: np.ndarray, groups: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Whole groups to hold out, with about as many of each class as are held out without them.

    Args:
        labels, groups: (N,) of each image, in the order of `stratified_order`.
        held_out: (N,) bool, of single images.

    Returns:
        (N,) bool; of every class at least one image is left to train on.
    """
    members = _by_group(groups)
    left = Counter(labels.tolist())
    wanted = Counter(labels[held_out].tolist())
    before, mask = Counter(wanted), np.zeros(len(labels), dtype=bool)

    def take(enough: Callable[[Counter, int], bool]) -> None:
        for rows in members.values():
            counts = Counter(labels[rows].tolist())
            useful = sum(min(count, max(0, wanted[label])) for label, count in counts.items())
            if (not mask[rows].any() and enough(counts, useful)
                    and all(left[label] > count for label, count in counts.items())):
                mask[rows] = True
                left.subtract(counts)
                wanted.subtract(counts)

    take(lambda counts, useful: useful > 0 and 2 * useful >= sum(counts.values()))
    take(lambda counts, useful: any(before[label] and wanted[label] == before[label]
                                    for label in counts))
    return mask


def grouped_folds(labels: np.ndarray, groups: np.ndarray, folds: int) -> np.ndarray:
    """(N,) fold of each image: groups in one each, the large ones first, where its classes are
    fewest yet (as scikit-learn's StratifiedGroupKFold does).

    Raises:
        UserError: there are fewer groups than folds.
    """
    members = sorted(_by_group(groups).values(), key=len, reverse=True)
    if len(members) < folds:
        raise UserError(f"{folds} folds need as many groups, and {len(members)} are used; take "
                        "another search_folds")
    classes, index = np.unique(labels, return_inverse=True)
    share = np.zeros((folds, len(classes)))  # of each class
    sizes, place = np.zeros(folds), np.empty(len(labels), dtype=int)
    of_class = np.bincount(index, minlength=len(classes))
    for rows in members:
        added = np.bincount(index[rows], minlength=len(classes)) / of_class
        spread = [np.std(np.vstack([share[:fold], share[fold] + added, share[fold + 1:]]),
                         axis=0).sum() for fold in range(folds)]
        chosen = min(range(folds), key=lambda fold: (round(spread[fold], 9), sizes[fold], fold))
        share[chosen] += added
        sizes[chosen] += len(rows)
        place[rows] = chosen
    return place


def _by_group(groups: np.ndarray) -> dict[int, list[int]]:
    """{group: rows of its images}, in the order of their first images."""
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(row)
    return members


def number_held_out(per_class: int, validation: float) -> int:
    """Validation images of each class among its first `per_class`."""
    # Rounded first, or 0.29 of 100 would be 28.
    return int(round(per_class * validation, 6))


def _balanced(labels: np.ndarray, per_class: int, validation: float) -> tuple:
    """Which images of an order belong to the subset, and which are held out: of each class its
    first `per_class`, and as many of these for every class. With a larger number of either all
    that was there stays.

    Args:
        labels: (N,) class of each image, in the order of `stratified_order`.
    """
    taken, held_out = np.zeros((2, len(labels)), dtype=bool)
    counts = np.array([number_held_out(n, validation) for n in range(per_class + 1)])
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)[:per_class]
        taken[members] = True
        held_out[members] = np.diff(counts) > 0
    return taken, held_out


def draw(train_labels: np.ndarray, test_labels: np.ndarray, validation: float,
         test_fraction: float, seed: int, fraction: float = 1.0, per_class: int = 0,
         fold: int = 0, folds: int = 1, groups: np.ndarray | None = None
         ) -> dict[str, list[int]]:
    """Draw the indices of a subset.

    Args:
        train_labels, test_labels: (N,) and (M,) classes of the images of the two splits.
        validation: share of the subset to hold out, from 0 up to but not including 1.
        test_fraction: of the test split, above 0 and at most 1.
        seed: of the training and validation images.
        fraction: size of the subset, of the training split, above 0 and at most 1.
        per_class: size of the subset, images of each class, instead; 0: off.
        folds: into how many parts the subset is divided; 1: it is not.
        fold: which of them is held out instead of the share `validation`, from 0.
        groups: (N,) of each training image; None where each is one of its own.

    Returns:
        {"train", "validation", "test": indices into their split}; train and validation disjoint;
        with folds no test images.

    Raises:
        UserError: a class would have no training image, there are fewer groups than folds, or
            groups leave no validation image where some are wanted.
    """
    counts = np.unique(train_labels, return_counts=True)[1]
    classes = len(counts)
    if per_class:
        check_per_class(counts.min(), per_class)
    else:
        check(len(train_labels), classes, fraction, validation)
    check(len(test_labels), classes, test_fraction, 0)
    order = stratified_order(train_labels, np.random.Generator(np.random.PCG64(seed)))
    if per_class:
        taken, held_out = _balanced(train_labels[order], per_class, validation)
    else:
        held_out = validation_mask(train_labels[order], validation)
        taken = np.arange(len(order)) < round(fraction * len(order))
    order, held_out = order[taken], held_out[taken]
    if folds > 1:
        check_folds(len(order), classes, folds)
        held_out = (fold_mask(train_labels[order], fold, folds) if groups is None else
                    grouped_folds(train_labels[order], groups[order], folds) == fold)
    elif groups is not None:
        wanted = held_out.any()
        held_out = grouped_mask(train_labels[order], groups[order], held_out)
        if wanted and not held_out.any():
            raise UserError(f"validation {validation} holds out no image: no whole group can be "
                            "spared from training; set validation: 0 and search_folds: 2 or more, "
                            "or leave the groups out")
    train = order[~held_out]
    without = classes - len(np.unique(train_labels[train]))
    if without and folds > 1:
        raise UserError(f"fold {fold + 1} of {folds} leaves {without} of the {classes} classes "
                        "without a training image; take more images, or another search_folds")
    if without:
        raise UserError(f"fraction {fraction} and validation {validation} leave {without} of the "
                        f"{classes} classes without a training image; take a larger fraction")
    test = stratified_order(test_labels, np.random.Generator(np.random.PCG64(TEST_SEED)))
    return {
        "train": train.tolist(),
        "validation": order[held_out].tolist(),
        "test": sorted(test[:round(test_fraction * len(test))].tolist()) if folds == 1 else [],
    }
