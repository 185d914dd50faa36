"""Accuracy while training, over epochs and over seconds."""

from collections.abc import Sequence

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd

from unfreeze.reporting.figures.style import BLUE, ORANGE, empty, panels

OTHERS = "#d0d0d0"


def learning_curves(table: pd.DataFrame) -> plt.Figure:
    """A panel for each run: accuracy over epochs on the training and the validation images, mean
    and range over seeds, before the validation curves of all runs in grey.

    Args:
        table: plots/tables/learning_curves.csv.
    """
    if table.empty:
        return empty("No run has a learning curve.")
    there = set(table.split)
    figure, axes = _small_multiples(table, "epoch", [
        each for each in (("train", ORANGE, "--", "^"), ("validation", BLUE, "-", "o"))
        if each[0] in there])
    for own in axes:
        own.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, nbins=5))
    figure.supxlabel("epoch (lines: mean over seeds; bands: lowest to highest)", fontsize=10)
    figure.supylabel("accuracy (%)", fontsize=10)
    return figure


def wall_clock(table: pd.DataFrame) -> plt.Figure:
    """A panel for each run: validation accuracy over seconds of training, mean and range over
    seeds, before the curves of all runs in grey. An epoch stands at its mean time.

    Args:
        table: plots/tables/wall_clock.csv.
    """
    if table.empty:
        return empty("No validation images, so no accuracy while training: set `validation:` in "
                     "params.yaml above 0.")
    figure, axes = _small_multiples(table.assign(split="validation"), "seconds",
                                    [("validation", BLUE, "-", "o")])
    for own in axes:
        own.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=4))
    figure.supxlabel("time of training (s) (lines: mean over seeds; bands: lowest to highest)",
                     fontsize=10)
    figure.supylabel("validation accuracy (%)", fontsize=10)
    return figure


def _small_multiples(table: pd.DataFrame, x: str, splits: Sequence[tuple[str, str, str, str]],
                     ) -> tuple[plt.Figure, list[plt.Axes]]:
    """A panel a run with the curve of each split.

    Args:
        table: run, seed, epoch, split, accuracy and x. splits: name, colour, line style, marker.
    """
    curves = table.groupby(["run", "split", "epoch"], sort=False, as_index=False).agg(
        x=(x, "mean"), mean=("accuracy", "mean"), low=("accuracy", "min"), high=("accuracy", "max"))
    runs = list(dict.fromkeys(curves.run))
    figure, grid = panels(runs, 4, 2.3, 2, sharex=True, sharey=True)
    for axes, run in zip(grid, runs, strict=True):
        for _, other in curves[curves.split == "validation"].groupby("run", sort=False):
            axes.plot(other.x, other["mean"], color=OTHERS, linewidth=0.8, zorder=1)
        for split, color, style, marker in splits:
            own = curves[(curves.run == run) & (curves.split == split)]
            axes.fill_between(own.x, own.low, own.high, color=color, alpha=0.25, linewidth=0)
            axes.plot(own.x, own["mean"], style, color=color, marker=marker, markersize=3.5,
                      label=split)
    if (curves.split == "validation").any() and len(runs) > 1:
        grid[0].plot([], [], color=OTHERS, label="validation of the others")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper right", ncols=3,
                  frameon=False)
    return figure, grid
