"""What the models predict: how well calibrated, which classes they confuse, what they miss."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from unfreeze.reporting.figures.style import BLUE, GREY, ORANGE, empty, one_line, panels, wrap

MOST_CLASSES = 20  # beyond it the numbers of a confusion matrix would overlap
PAIRS = 25         # shown instead


def reliability(table: pd.DataFrame) -> plt.Figure:
    """A panel for each run: accuracy against confidence in bins, before and after temperature
    scaling. A point's area grows with the share of the predictions that lie in its bin.

    Args:
        table: plots/tables/reliability.csv.
    """
    table = table[table.images > 0]
    if table.empty:
        return empty("No run has predictions: every one of them failed.")
    runs = list(dict.fromkeys(table.run))
    figure, grid = panels(runs, 4, 2.3, 2.25, sharex=True, sharey=True)
    for axes, run in zip(grid, runs, strict=True):
        axes.plot([0, 100], [0, 100], ":", color=GREY, linewidth=1, label="calibrated")
        for scaled, color, style, marker, label in (
                ("no", ORANGE, "--", "s", "as trained"),
                ("yes", BLUE, "-", "o", "temperature scaled on validation")):
            own = table[(table.run == run) & (table.scaled == scaled)].sort_values("bin")
            if not own.empty:
                axes.scatter(own.confidence, own.accuracy, color=color, marker=marker, zorder=3,
                             s=4 + 120 * own.images / own.images.sum())
                axes.plot(own.confidence, own.accuracy, style, color=color, linewidth=1)
                grid[0].plot([], [], style, color=color, marker=marker, label=label, markersize=4)
        axes.set_xlim(-2, 102)
        axes.set_ylim(-2, 102)
        axes.set_xticks([0, 50, 100])
        axes.set_yticks([0, 50, 100])
    figure.supxlabel("confidence (%) (a point's area: share of the predictions)", fontsize=10)
    figure.supylabel("accuracy (%)", fontsize=10)
    handles = dict(zip(*grid[0].get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=3,
                  frameon=False)
    return figure


def confusion(table: pd.DataFrame, run: str) -> plt.Figure:
    """Share of each true class's images that was given each class, over all seeds; the most
    confused pairs alone when there are more than 20 classes.

    Args:
        table: plots/tables/confusion.csv. run: whose it is.
    """
    if table.empty:
        return empty(f"{run} has no predictions: it failed.")
    classes = list(dict.fromkeys(table.actual))
    if len(classes) > MOST_CLASSES:
        return _confused_pairs(table, run)
    matrix = table.pivot(index="actual", columns="predicted", values="percent")
    matrix = matrix.reindex(index=classes, columns=classes)
    names = [wrap(one_line(name), 24) for name in classes]
    side = max(3.6, 0.5 * len(classes))
    figure, axes = plt.subplots(figsize=(side + 2, side + 1))
    image = axes.imshow(matrix, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(matrix.shape):
        share = matrix.iat[row, column]
        if share > 0.5:
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=8,
                      color="white" if share > 55 else "black")
    axes.set_xticks(range(len(classes)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(f"{run}: predictions", fontsize=10)
    axes.grid(False)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class (%)")
    return figure


def _confused_pairs(table: pd.DataFrame, run: str) -> plt.Figure:
    wrong = table[(table.actual != table.predicted) & (table.images > 0)]
    if wrong.empty:
        return empty(f"{run} confuses no classes.")
    wrong = wrong.sort_values(["percent", "images"], ascending=False, kind="stable").head(PAIRS)
    names = [wrap(one_line(f"{actual} → {predicted}"), 48)
             for actual, predicted in zip(wrong.actual, wrong.predicted, strict=True)]
    places = range(len(wrong))
    figure, axes = plt.subplots(figsize=(8, 1 + 0.3 * len(wrong)))
    axes.barh(places, wrong.percent, color=BLUE, height=0.7)
    for place, percent in zip(places, wrong.percent, strict=True):
        axes.text(percent, place, f" {percent:.0f}", va="center", fontsize=8)
    axes.set_yticks(places, names, fontsize=8)
    axes.set_ylim(len(wrong) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("share of the true class (%)")
    axes.set_title(f"{run}: most confused of {table.actual.nunique()} classes, true → predicted",
                   fontsize=10, loc="left")
    return figure


def mistakes(images: np.ndarray | None, truths: Sequence[str], predictions: Sequence[str],
             confidences: Sequence[float], run: str) -> plt.Figure:
    """A gallery of wrongly classified images, in the order given. Save it as .png.

    Args:
        images: (K, height, width, 3) uint8; K = 0 for none; None: the run failed.
        truths: names of the true classes (K). predictions: of the predicted ones (K).
        confidences: of the predictions, 0 to 1 (K). run: whose mistakes.
    """
    if images is None:
        return empty(f"{run} has no predictions: it failed.")
    if not len(images):
        return empty(f"{run} made no mistakes.")
    columns = min(6, len(images))
    rows = -(-len(images) // columns)
    figure, grid = plt.subplots(rows, columns, squeeze=False,
                                figsize=(max(1.75 * columns, 4.5), 2.25 * rows + 0.4))
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, truth, prediction, confidence in zip(
            grid.flat, images, truths, predictions, confidences, strict=False):
        axes.imshow(image, interpolation="nearest")
        lines = (f"true: {truth}", f"predicted: {prediction}",
                 f"{100 * confidence:.1f} % confident")
        axes.set_title("\n".join(wrap(line, 24) for line in lines), fontsize=8)
    figure.suptitle(f"{run}: the most confident mistakes", fontsize=10)
    return figure
