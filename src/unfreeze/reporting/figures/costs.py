"""Accuracy against what it costs."""

import matplotlib.pyplot as plt
import pandas as pd

from unfreeze.reporting.figures.style import empty


def pareto(table: pd.DataFrame) -> plt.Figure:
    """A panel for each cost: accuracy of every run against it; dominated runs are hollow.

    Args:
        table: plots/pareto.csv.
    """
    return empty("pareto")
