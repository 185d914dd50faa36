"""Scores of one run's test predictions. NumPy, no SciPy: every run's evaluation imports it.

Shapes: logits (R, N, C) for R replicates, N test images and C classes, or (N, C) of one replicate,
all finite; labels (N,). Accuracies, calibration errors, precision, recall and F1 are percentages,
as in the field's tables; cross-entropy is in nats.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unfreeze.scoring import calibration

TOP = 5
PAIRS = 10
DECIMALS = 4
DENSE = 100  # classes up to which pairs that are never confused are listed too


@dataclass(frozen=True)
class Metric:
    """A score, in words for axes and tables.

    Attributes:
        name: in files and claims. unit: "" for none. better: which values are. text: in words.
        bounds: the lowest and the highest that it can be.
    """

    name: str
    unit: str
    better: Literal["higher", "lower"]
    text: str
    bounds: tuple[float, float]


METRICS = {metric.name: metric for metric in (
    Metric("accuracy", "%", "higher", "accuracy", (0, 100)),
    Metric("balanced_accuracy", "%", "higher", "balanced accuracy", (0, 100)),
    Metric("top5", "%", "higher", "top-5 accuracy", (0, 100)),
    Metric("cross_entropy", "nats", "lower", "cross-entropy", (0, math.inf)),
    Metric("brier", "", "lower", "Brier score", (0, 2)),
    Metric("ece", "%", "lower", "expected calibration error", (0, 100)),
)}


def failure(seeds: list[int], *logits: np.ndarray) -> str | None:
    """Why a run can't be scored, None if it can: arrays (R, ..., C) with NaN or infinity."""
    bad = [seed for place, seed in enumerate(seeds)
           if not all(np.isfinite(each[place]).all() for each in logits)]
    if not bad:
        return None
    named = f"seed{'s' if len(bad) > 1 else ''} {', '.join(map(str, bad))}"
    return f"the logits of {named} are not finite: training diverged"


def per_image(logits: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """What each test image says about each metric: (N, C), (N,) -> {name: (N,)}.

    The mean over images is the metric. Balanced accuracy and expected calibration error are no
    means; they come as metric + influence function, which is the mean's counterpart (Hampel 1974,
    https://doi.org/10.1080/01621459.1974.10482962). `top5` is left out for five classes or fewer,
    where it is always 100.

    Brier score: sum over classes of squared differences from 1 for the label and 0 for the others,
    0 to 2 (Brier 1950, equation 2).
    """
    probabilities = calibration.softmax(logits)
    rank = label_rank(logits, labels)
    correct = rank == 0
    images = np.arange(len(labels))
    values = {"accuracy": 100.0 * correct, "balanced_accuracy": _balanced(correct, labels)}
    if logits.shape[1] > TOP:
        values["top5"] = 100.0 * (rank < TOP)
    values["cross_entropy"] = -log_softmax(logits)[images, labels]
    # Read before `probabilities` turns into differences.
    values["ece"] = calibration.error_per_image(probabilities.max(axis=1), correct)
    probabilities[images, labels] -= 1
    values["brier"] = np.square(probabilities).sum(axis=1)
    return {name: values[name] for name in METRICS if name in values}


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities over the last axis, in float64."""
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def label_rank(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes rank above the label: (N, C), (N,) -> (N,). Where logits tie, the class with
    the lower index ranks higher, as argmax has it."""
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    earlier = np.arange(logits.shape[1]) < labels[:, None]
    return ((logits > own) | ((logits == own) & earlier)).sum(axis=1)


def _balanced(correct: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Balanced accuracy B, the mean recall of the classes that have images, image by image:
    B + N / (classes x images of the own class) x (100 x correct - recall of the own class)."""
    images = np.bincount(labels)
    recall = 100 * np.bincount(labels, correct) / np.maximum(images, 1)
    there = images > 0
    weight = len(labels) / (there.sum() * images[labels])
    return recall[there].mean() + weight * (100 * correct - recall[labels])


def confusion_matrix(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(C, C) counts over all replicates, rows the true class and columns the predicted: (R, N, C),
    (N,)."""
    classes = logits.shape[-1]
    cells = labels * classes + logits.argmax(axis=-1)
    return np.bincount(cells.ravel(), minlength=classes**2).reshape(classes, classes)


def confusion_pairs(confusion: np.ndarray, classes: list[str]) -> list[tuple[str, str, int]]:
    """(true class, predicted class, images) of every pair; of more than DENSE classes, whose pairs
    are mostly empty, of those with images."""
    return [(actual, predicted, confusion[row, column])
            for row, actual in enumerate(classes) for column, predicted in enumerate(classes)
            if len(classes) <= DENSE or confusion[row, column]]


def per_class(confusion: np.ndarray) -> list[dict[str, float | None]]:
    """{"precision", "recall", "f1"} of each class: (C, C).

    The precision of a class that is never predicted is 0, as with scikit-learn's zero_division=0;
    without test images a class has no recall and no F1 (None).
    """
    right, actual, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    return [{
        "precision": 100 * float(right[c] / max(predicted[c], 1)),
        "recall": 100 * float(right[c] / actual[c]) if actual[c] else None,
        "f1": 200 * float(right[c] / (actual[c] + predicted[c])) if actual[c] else None,
    } for c in range(len(confusion))]


def most_confused(confusion: np.ndarray) -> list[tuple[int, int, float]]:
    """The up to 10 likeliest mistakes: (C, C) -> actual class, predicted class, percentage of the
    actual class's images."""
    share = 100 * confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(share, 0)
    # A stable sort keeps the order of the classes where shares are equal.
    order = np.argsort(-share, axis=None, kind="stable")[:PAIRS]
    pairs = zip(*np.unravel_index(order, share.shape), strict=True)
    return [(int(row), int(column), float(share[row, column]))
            for row, column in pairs if share[row, column]]


def spread(values: list[float]) -> dict:
    """Mean, standard deviation (n - 1; None for one value) and number of values, rounded."""
    return {
        "mean": _rounded(np.mean(values)),
        "std": _rounded(np.std(values, ddof=1)) if len(values) > 1 else None,
        "n": len(values),
    }


def score(values: dict[str, np.ndarray], confusion: np.ndarray, seeds: list[int],
          classes: list[str]) -> dict:
    """All scores of a run, rounded to 4 decimals, so that a repetition gives the same text.

    Args:
        values: {name: (R, N) as of `per_image`, or (R,) of what is no mean over images}.
        confusion: (C, C), of `confusion_matrix`. seeds: R of them. classes: C names.

    Returns:
        Each of `values` as spread over seeds and the value of each seed; "per_class": {class:
        {"precision", "recall", "f1", "images"}} and "confused": [[actual, predicted, percent], ...]
        of the predictions of all seeds together; "test_images": N.
    """
    scores = {}
    for name, own in values.items():
        means = own.reshape(len(seeds), -1).mean(axis=1)
        by_seed = {str(seed): _rounded(mean) for seed, mean in zip(seeds, means, strict=True)}
        scores[name] = spread(means) | {"seeds": by_seed}
    images = confusion.sum(axis=1) // len(seeds)
    return scores | {
        "per_class": {
            name: {key: value if value is None else _rounded(value) for key, value in own.items()}
            | {"images": int(count)}
            for name, own, count in zip(classes, per_class(confusion), images, strict=True)
        },
        "confused": [[classes[actual], classes[predicted], _rounded(percent)]
                     for actual, predicted, percent in most_confused(confusion)],
        "test_images": int(images.sum()),
    }


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS) + 0.0  # no -0.0
