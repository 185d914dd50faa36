"""Accuracy: the share of images whose label has the highest logit."""

import numpy as np

from unfreeze.scoring.predictions import Predictions
from unfreeze.scoring.score import Score


def per_image(predictions: Predictions) -> np.ndarray:
    return 100.0 * predictions.correct


SCORE = Score("accuracy", "%", "higher", (0, 100), per_image, hits=True, position=1)
