"""Top-5 accuracy: the share of images whose label is among the five highest logits. For five
classes or fewer it is always 100."""

import numpy as np

from unfreeze.scoring.predictions import Predictions
from unfreeze.scoring.score import Score

TOP = 5


def per_image(predictions: Predictions) -> np.ndarray:
    return 100.0 * (predictions.label_rank < TOP)


SCORE = Score("top-5 accuracy", "%", "higher", (0, 100), per_image, least_classes=TOP + 1,
              hits=True, position=3)
