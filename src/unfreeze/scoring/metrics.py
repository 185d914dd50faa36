"""Scores of one run's test predictions.

Shapes: logits (R, N, C) for R replicates, N test images and C classes; labels (N,).
Accuracies are percentages, as in the field's tables; cross-entropy is in nats.
"""

import numpy as np

TOP = 5
DECIMALS = 4


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities over the last axis, in float64."""
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log p(label): (N, C), (N,) -> nats."""
    return float(-log_softmax(logits)[np.arange(len(labels)), labels].mean())


def top_k_accuracy(logits: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Percentage of images whose class is among the k highest logits: (N, C), (N,).

    Where logits tie, the class with the lower index ranks higher, as argmax has it. What is not a
    number ranks above every number, so that a diverged model is never right by it.
    """
    own = logits[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(logits.shape[1]) < labels[:, None]
    rank = (~(logits <= own) | ((logits == own) & earlier)).sum(axis=1)
    return 100 * float((rank < k).mean())


def confusion_matrix(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(C, C) counts, rows the true class and columns the predicted: (N, C), (N,)."""
    classes = logits.shape[1]
    cells = labels * classes + logits.argmax(axis=1)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def per_class_accuracy(confusion: np.ndarray) -> list[float | None]:
    """Percentage of each class's images that are recognised; None for a class without images."""
    totals = confusion.sum(axis=1)
    return [100 * float(confusion[c, c] / total) if total else None
            for c, total in enumerate(totals)]


def spread(values: list[float]) -> dict:
    """Mean, standard deviation (n - 1; None for one value) and number of values, rounded."""
    return {
        "mean": round(float(np.mean(values)), DECIMALS),
        "std": round(float(np.std(values, ddof=1)), DECIMALS) if len(values) > 1 else None,
        "n": len(values),
    }


def score(logits: np.ndarray, labels: np.ndarray, seeds: list[int], classes: list[str]) -> dict:
    """All scores of a run.

    Args:
        logits: (R, N, C). labels: (N,). seeds: R of them. classes: C names.

    Returns:
        {"accuracy", "top5", "cross_entropy": spread over seeds and the value of each seed,
        "per_class_accuracy": {class: mean over seeds}, "test_images": N}; rounded to 4 decimals,
        so that a repetition gives the same text. `top5` is left out for five classes or fewer,
        where it is always 100.
    """
    measures = {"accuracy": lambda x: top_k_accuracy(x, labels, 1)}
    if len(classes) > TOP:
        measures["top5"] = lambda x: top_k_accuracy(x, labels, TOP)
    measures["cross_entropy"] = lambda x: cross_entropy(x, labels)
    scores = {}
    for name, measure in measures.items():
        values = [measure(replicate) for replicate in logits]
        by_seed = {str(s): round(v, DECIMALS) for s, v in zip(seeds, values, strict=True)}
        scores[name] = spread(values) | {"seeds": by_seed}
    pooled = per_class_accuracy(sum(confusion_matrix(replicate, labels) for replicate in logits))
    return scores | {
        "per_class_accuracy": {
            name: None if value is None else round(value, DECIMALS)
            for name, value in zip(classes, pooled, strict=True)
        },
        "test_images": len(labels),
    }
