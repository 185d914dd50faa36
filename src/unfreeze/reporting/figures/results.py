"""What came out: accuracy of the runs, the claims, accuracy against the share of the data."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd

from unfreeze.reporting.figures.style import empty


def accuracy(table: pd.DataFrame, seeds: Mapping[str, Sequence[float]] | None = None) -> plt.Figure:
    """Test accuracy of every run with its 95 % interval, best on top.

    Args:
        table: plots/accuracy.csv, best first. seeds: {run: accuracy of each seed}, drawn as dots.
    """
    return empty("accuracy")


def claims(table: pd.DataFrame) -> plt.Figure:
    """Forest plot: effect and 95 % interval of every comparison, and each claim's verdict.

    Args:
        table: plots/claims.csv.
    """
    return empty("claims")


def fractions(table: pd.DataFrame) -> plt.Figure:
    """Accuracy against the fraction of the training images, a line for each series.

    Args:
        table: plots/fractions.csv.
    """
    return empty("fractions")
