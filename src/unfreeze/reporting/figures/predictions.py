"""What the models predict: how well calibrated, which classes they confuse, what they miss."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from unfreeze.reporting.figures.style import empty


def reliability(table: pd.DataFrame) -> plt.Figure:
    """A panel for each run: accuracy against confidence, before and after temperature scaling.

    Args:
        table: plots/reliability.csv.
    """
    return empty("reliability")


def confusion(table: pd.DataFrame, run: str) -> plt.Figure:
    """Share of each true class's images that was given each class; the most confused pairs alone
    when there are more than 20 classes.

    Args:
        table: plots/confusion.csv. run: whose it is.
    """
    return empty("confusion")


def mistakes(images: np.ndarray, truths: Sequence[str], predictions: Sequence[str],
             confidences: Sequence[float], run: str) -> plt.Figure:
    """A gallery of wrongly classified images, in the order given. Save it as .png.

    Args:
        images: (K, height, width, 3) uint8; K = 0 for none.
        truths: names of the true classes (K). predictions: of the predicted ones (K).
        confidences: of the predictions, 0 to 1 (K). run: whose mistakes.
    """
    return empty("mistakes")
