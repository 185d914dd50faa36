"""Brier score: the sum over classes of squared differences between the probability and 1 for the
label, 0 for the others; 0 to 2 (Brier 1950, equation 2)."""

import numpy as np

from unfreeze.scoring.predictions import Predictions
from unfreeze.scoring.score import Score


def per_image(predictions: Predictions) -> np.ndarray:
    differences = predictions.probabilities.copy()
    differences[np.arange(len(differences)), predictions.labels] -= 1
    return np.square(differences).sum(axis=1)


SCORE = Score("Brier score", "", "lower", (0, 2), per_image, position=5)
