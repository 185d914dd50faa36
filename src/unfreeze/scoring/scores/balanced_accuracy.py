"""Balanced accuracy: the mean recall of the classes that have test images."""

import numpy as np

from unfreeze.scoring.predictions import Predictions
from unfreeze.scoring.score import Score


def per_image(predictions: Predictions) -> np.ndarray:
    """Balanced accuracy B, image by image: B + N / (classes x images of the image's class) x
    (100 x correct - recall of the image's class)."""
    correct, labels = predictions.correct, predictions.labels
    images = np.bincount(labels)
    recall = 100 * np.bincount(labels, correct) / np.maximum(images, 1)
    has_images = images > 0
    weight = len(labels) / (has_images.sum() * images[labels])
    return recall[has_images].mean() + weight * (100 * correct - recall[labels])


SCORE = Score("balanced accuracy", "%", "higher", (0, 100), per_image, position=2)
