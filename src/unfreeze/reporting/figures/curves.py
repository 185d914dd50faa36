"""Accuracy while training, over epochs and over seconds."""

import matplotlib.pyplot as plt
import pandas as pd

from unfreeze.reporting.figures.style import empty


def learning_curves(table: pd.DataFrame) -> plt.Figure:
    """A panel for each run: accuracy over epochs on the training and the validation images.

    Args:
        table: plots/learning_curves.csv.
    """
    return empty("learning_curves")


def wall_clock(table: pd.DataFrame) -> plt.Figure:
    """A panel for each run: validation accuracy over seconds of training.

    Args:
        table: plots/wall_clock.csv.
    """
    return empty("wall_clock")
