"""How far a model's confidence (its highest softmax probability) can be taken at its word. NumPy.

Expected calibration error: Naeini et al. 2015 (https://doi.org/10.1609/aaai.v29i1.9602), for more
than two classes Guo et al. 2017 (https://arxiv.org/abs/1706.04599), section 2 and equation 3, with
15 bins as there. Temperature scaling: Guo et al. 2017, section 4.2.

Shapes: logits (N, C) for N images and C classes, all finite; labels (N,). Confidences are shares
(0 to 1), errors and rows percentages.
"""

import numpy as np

from unfreeze.scoring.predictions import softmax

BINS = 15
EDGES = np.arange(BINS + 1) / BINS
TEMPERATURES = (0.05, 20.0)  # the range that is searched
DECIMALS = 4
HEADER = ("seed", "scaled", "bin", "low", "high", "images", "confidence", "accuracy")


def bins(confidence: np.ndarray) -> np.ndarray:
    """Which of the 15 bins of equal width: (N,) -> (N,), 0 to 14. A bin has its upper edge but not
    its lower one (Guo et al. 2017); a confidence of 0 is in the first."""
    return np.maximum(np.searchsorted(EDGES, confidence, side="left") - 1, 0)


def error_per_image(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """What each image adds to the expected calibration error, sum over bins of
    images / N x |accuracy - confidence|: its own gap, with the sign of its bin's.

    Args:
        confidence: (N,). correct: (N,) of bool.

    Returns:
        (N,) percentages, -100 to 100. Their mean is the error, and as long as no bin's gap changes
        sign they are its derivative by the images' weights.
    """
    bin_of, gap = bins(confidence), confidence - correct
    return 100 * np.sign(np.bincount(bin_of, gap, BINS))[bin_of] * gap


def reliability(confidence: np.ndarray, correct: np.ndarray) -> list[tuple]:
    """A row for each bin: its number, lower and upper edge, images, and their mean confidence and
    accuracy (None without images); all but the first and the fourth in percent, rounded."""
    bin_of = bins(confidence)
    images = np.bincount(bin_of, minlength=BINS)
    sums = [np.bincount(bin_of, values, BINS) for values in (confidence, correct)]
    return [(number, *(_percent(edge) for edge in EDGES[number:number + 2]), int(count),
             *(_percent(total[number] / count) if count else None for total in sums))
            for number, count in enumerate(images)]


def _percent(share: float) -> float:
    return round(100 * float(share), DECIMALS)


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T in TEMPERATURES for which softmax(logits / T) has the least cross-entropy.

    Cross-entropy is convex in 1 / T: its slope is bisected in log T. A model that is right on all
    of the images wants to be ever surer and gets the lower limit. 1 where T makes no difference.
    """
    label_logits = np.take_along_axis(logits, labels[:, None], axis=1)
    margins = logits.astype(np.float64) - label_logits

    def slope(value: float) -> float:
        """By 1 / T; above zero the model is too sure."""
        return (softmax(margins / value) * margins).sum(axis=1).mean()

    if slope(1.0) == 0:
        return 1.0
    low, high = np.log(TEMPERATURES)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(np.exp(middle)) > 0 else (low, middle)
    return float(np.exp((low + high) / 2))
