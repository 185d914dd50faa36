"""The predictions of one replicate, and what several scores need of them."""

from functools import cached_property

import numpy as np


class Predictions:
    """What a trained model says of N test images in C classes.

    Attributes:
        logits: (N, C), all finite. labels: (N,), the true classes.
        probabilities: (N, C), float64.
        confidence: (N,), the highest of an image's probabilities.
        label_rank: (N,), see the function.
        correct: (N,) bool.
    """

    def __init__(self, logits: np.ndarray, labels: np.ndarray) -> None:
        self.logits, self.labels = logits, labels

    @cached_property
    def probabilities(self) -> np.ndarray:
        return softmax(self.logits)

    @cached_property
    def confidence(self) -> np.ndarray:
        return self.probabilities.max(axis=1)

    @cached_property
    def label_rank(self) -> np.ndarray:
        return label_rank(self.logits, self.labels)

    @cached_property
    def correct(self) -> np.ndarray:
        return self.label_rank == 0


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, in float64."""
    logits = logits.astype(np.float64)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities over the last axis, in float64."""
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def label_rank(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes rank above the label: (N, C), (N,) -> (N,). Where logits tie, the class with
    the lower index ranks higher, as argmax has it."""
    label_logits = np.take_along_axis(logits, labels[:, None], axis=1)
    earlier = np.arange(logits.shape[1]) < labels[:, None]
    return ((logits > label_logits) | ((logits == label_logits) & earlier)).sum(axis=1)
