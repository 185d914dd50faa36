"""Cross-entropy: the mean negative log-probability of the label, in nats."""

import math

import numpy as np

from unfreeze.scoring.predictions import Predictions, log_softmax
from unfreeze.scoring.score import Score


def per_image(predictions: Predictions) -> np.ndarray:
    labels = predictions.labels
    return -log_softmax(predictions.logits)[np.arange(len(labels)), labels]


SCORE = Score("cross-entropy", "nats", "lower", (0, math.inf), per_image, position=4)
