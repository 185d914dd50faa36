"""Expected calibration error: how far confidence is from accuracy, over 15 bins of confidence.
Sums of absolute differences are too high with few images: a point or two with some hundreds."""

import numpy as np

from unfreeze.scoring import calibration
from unfreeze.scoring.predictions import Predictions
from unfreeze.scoring.score import Score


def per_image(predictions: Predictions) -> np.ndarray:
    return calibration.error_per_image(predictions.confidence, predictions.correct)


SCORE = Score("expected calibration error", "%", "lower", (0, 100), per_image, biased=True,
              position=6)
