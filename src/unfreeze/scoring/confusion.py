"""Which classes are taken for which, over all replicates of a run.

Shapes: a confusion matrix is (C, C) counts for C classes, rows the true class and columns the
predicted one.
"""

import numpy as np

PAIRS = 10
DENSE = 100  # classes up to which pairs that are never confused are listed too


def matrix(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The counts over all replicates: (R, N, C), (N,) -> (C, C)."""
    classes = logits.shape[-1]
    cells = labels * classes + logits.argmax(axis=-1)
    return np.bincount(cells.ravel(), minlength=classes**2).reshape(classes, classes)


def pairs(confusion: np.ndarray, classes: list[str]) -> list[tuple[str, str, int]]:
    """(true class, predicted class, images) of every pair; of more than DENSE classes, whose pairs
    are mostly empty, of those with images."""
    return [(actual, predicted, confusion[row, column])
            for row, actual in enumerate(classes) for column, predicted in enumerate(classes)
            if len(classes) <= DENSE or confusion[row, column]]


def per_class(confusion: np.ndarray) -> list[dict[str, float | None]]:
    """{"precision", "recall", "f1"} of each class, in percent.

    The precision of a class that is never predicted is 0, as with scikit-learn's zero_division=0;
    without test images a class has no recall and no F1 (None).
    """
    right, actual, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    return [{
        "precision": 100 * float(right[c] / max(predicted[c], 1)),
        "recall": 100 * float(right[c] / actual[c]) if actual[c] else None,
        "f1": 200 * float(right[c] / (actual[c] + predicted[c])) if actual[c] else None,
    } for c in range(len(confusion))]


def likeliest_mistakes(confusion: np.ndarray) -> list[tuple[int, int, float]]:
    """Up to 10 (actual class, predicted class, percentage of the actual class's images)."""
    share = 100 * confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(share, 0)
    # A stable sort keeps the order of the classes where shares are equal.
    order = np.argsort(-share, axis=None, kind="stable")[:PAIRS]
    cells = zip(*np.unravel_index(order, share.shape), strict=True)
    return [(int(row), int(column), float(share[row, column]))
            for row, column in cells if share[row, column]]
