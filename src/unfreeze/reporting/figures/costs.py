"""Accuracy against what it costs."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.text import Text
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Bbox

from unfreeze.reporting.figures.style import BLUE, GREY, empty, number_ticks, panels, wrap

TITLES = {
    "seconds": "training time of a replicate (s)",
    "parameters_trainable": "trained parameters",
    "stored_bytes": "stored, besides the pretrained weights (bytes)",
    "activation_bytes": "activations kept for the backward pass (bytes)",
    "flops": "operations, forward and backward, per image",
}


def pareto(table: pd.DataFrame) -> plt.Figure:
    """A panel for each cost: accuracy of every run against it (log axis) with its 95 % interval.
    Runs that no other dominates are filled and named, with the front as a line; dominated ones are
    hollow, and named where there is room.

    Args:
        table: plots/tables/pareto.csv.
    """
    if table.empty:
        return empty("No run has an accuracy: every one of them failed.")
    costs = list(dict.fromkeys(table.cost))
    figure, grid = panels([""] * len(costs), 2, 4.9, 3.6, sharey=True)
    for axes, cost in zip(grid, costs, strict=True):
        own = table[table.cost == cost].sort_values(["value", "accuracy"])
        front = own[own.dominated == "no"]
        rest = own[own.dominated != "no"]
        axes.step(front.value, front.accuracy, where="post", color=BLUE, linewidth=1, alpha=0.6)
        for runs, color, marker, face, label in (
                (rest, GREY, "s", "white", "dominated: another has at least its accuracy for less"),
                (front, BLUE, "o", BLUE, "on the Pareto front")):
            if runs.empty:
                continue
            axes.vlines(runs.value, runs.low, runs.high, color=color, linewidth=1)
            axes.plot(runs.value, runs.accuracy, marker, color=color, markerfacecolor=face,
                      markersize=5, label=label)
        axes.set_xscale("log")
        axes.margins(x=0.12, y=0.08)
        low, high = own.value.min(), own.value.max()
        if high < 4 * low:  # so that costs that are much alike look it
            axes.set_xlim(low / 2.5, high * 2.5)
        if high < 100 * low:
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        number_ticks(axes.xaxis, own.unit.iloc[0])
        axes.tick_params(labelleft=True)
        axes.set_xlabel(TITLES.get(cost, f"{cost} ({own.unit.iloc[0]})"), fontsize=9)
        axes.set_ylabel("test accuracy (%)", fontsize=9)
    handles = {label: handle for axes in grid
               for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=2,
                  frameon=False)
    figure.canvas.draw()  # settles the layout: the labels' places depend on it
    for axes, cost in zip(grid, costs, strict=True):
        _label_points(axes, table[table.cost == cost])
    return figure


def _label_points(axes: plt.Axes, points: pd.DataFrame) -> None:
    """Write runs' names near their points, each at the nearest place where it lies on nothing else:
    first those of the front, which may stand off at the end of a line, then those of the others."""
    renderer = axes.figure.canvas.get_renderer()
    inside = axes.get_window_extent(renderer)
    taken = _drawn(axes, points)
    names: list[Bbox] = []
    steps = [0, *(sign * step for step in range(1, 15) for sign in (1, -1))]
    offsets = [(side, 9 * step) for step in steps for side in ("left", "right")]
    for _, row in points.sort_values(["dominated", "accuracy"], ascending=[True, False]).iterrows():
        front = row.dominated == "no"
        # The front is named in any case, over the lines if need be.
        attempts = [(offset, (*taken, *names)) for offset in (offsets if front else offsets[:6])]
        if front:
            attempts += [(offset, tuple(names)) for offset in offsets]
        for (side, up), obstacles in attempts:
            text = axes.annotate(
                wrap(row.run, 24), (row.value, row.accuracy), fontsize=8, ha=side, va="center",
                color=BLUE if front else GREY, xytext=(7 if side == "left" else -7, up),
                textcoords="offset points", in_layout=False,
                arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.5} if abs(up) > 9 else None)
            # Of the text alone: the annotation's own extent would include its line.
            text.update_positions(renderer)
            box = Text.get_window_extent(text, renderer)
            fits = (inside.x0 < box.x0 and box.x1 < inside.x1
                    and inside.y0 < box.y0 and box.y1 < inside.y1)
            if fits and not any(box.overlaps(other) for other in obstacles):
                names.append(box)
                break
            text.remove()


def _drawn(axes: plt.Axes, points: pd.DataFrame) -> list[Bbox]:
    """Where the points, their intervals and the front lie, in pixels."""
    def pixels(*columns: str) -> np.ndarray:
        return axes.transData.transform(points[list(columns)].to_numpy(float))

    boxes = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in pixels("value", "accuracy")]
    for (x, low), (_, high) in zip(pixels("value", "low"), pixels("value", "high"), strict=True):
        if np.isfinite(high - low):
            boxes.append(Bbox.from_extents(x - 1, low, x + 1, high))
    front = points[points.dominated == "no"].sort_values("value")
    corners = axes.transData.transform(front[["value", "accuracy"]].to_numpy(float))
    for (x, y), (to_x, to_y) in pairwise(corners):
        boxes += [Bbox.from_extents(x, y - 1, to_x, y + 1),
                  Bbox.from_extents(to_x - 1, y, to_x + 1, to_y)]
    return boxes
