"""Parts of the images that take turns in being held out, for the scores that need some."""

import numpy as np

from unfreeze.data import subsets

MOST = 5


def of(labels: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """(N,) int64 part of each image, stratified; those of a group are in one.

    Args:
        labels: (N,) of the images, in a random order. groups: (N,); None where each image is one
            of its own.
    """
    smallest = np.unique(labels, return_counts=True)[1].min()
    parts = int(max(2, min(MOST, smallest)))
    if groups is None:
        place = np.zeros(len(labels), np.int64)
        for fold in range(parts):
            place[subsets.fold_mask(labels, fold, parts)] = fold
        return place
    return subsets.grouped_folds(labels, groups, max(2, min(parts, len(np.unique(groups)))))
