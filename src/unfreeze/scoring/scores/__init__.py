"""The scores: one file each, found by its name. A file offers SCORE, a scoring.score.Score.

    # scores/error.py: claims may name it, as in `base.error < 10`
    def per_image(predictions: Predictions) -> np.ndarray:
        return 100.0 * ~predictions.correct

    SCORE = Score("error rate", "%", "lower", (0, 100), per_image)
"""

import importlib
import pkgutil

import numpy as np

from unfreeze.scoring.predictions import Predictions
from unfreeze.scoring.score import Score


def _found() -> dict[str, Score]:
    scores = {name: importlib.import_module(f"{__name__}.{name}").SCORE
              for _, name, _ in pkgutil.iter_modules(__path__)}
    return dict(sorted(scores.items(), key=lambda item: (item[1].position, item[0])))


SCORES: dict[str, Score] = _found()


def per_image(predictions: Predictions) -> dict[str, np.ndarray]:
    """{name: what each test image says about the score, (N,) float}, without the scores that want
    more classes."""
    classes = predictions.logits.shape[1]
    return {name: score.per_image(predictions) for name, score in SCORES.items()
            if classes >= score.least_classes}
