"""The pictures. Deterministic SVG: no dates, no random ids.

Colours are Okabe and Ito's, which people with any colour vision can tell apart.
"""

import io
import math
from pathlib import Path

import matplotlib

matplotlib.use("agg")  # measures text for placing labels; the files are SVG all the same
import matplotlib.pyplot as plt  # noqa: E402  (after the backend is chosen)
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from matplotlib.text import Text  # noqa: E402
from matplotlib.transforms import Bbox  # noqa: E402

from unfreeze import files  # noqa: E402

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"
plt.rcParams |= {
    "svg.hashsalt": "unfreeze",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e0e0e0",
    "figure.constrained_layout.use": True,
}


def save(figure: plt.Figure, path: Path) -> None:
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    plt.close(figure)
    files.write_bytes(path, content.getvalue())


def accuracy(table: pd.DataFrame, seeds: dict[str, list[float]]) -> plt.Figure:
    """Mean accuracy of every run, best on top, with one standard deviation over its seeds.

    Args:
        table: plots/accuracy.csv, best first.
        seeds: {run: accuracy of each seed}.
    """
    figure, axes = plt.subplots(figsize=(7, 0.8 + 0.34 * len(table)))
    table = table.iloc[::-1].reset_index(drop=True)
    for place, run in enumerate(table.run):
        axes.scatter(seeds[run], [place] * len(seeds[run]), s=14, color=GREY, zorder=2)
    axes.errorbar(table.accuracy, table.index, xerr=table["std"].fillna(0), fmt="o", color=BLUE,
                  capsize=3, zorder=3)
    for place, mean in enumerate(table.accuracy):
        axes.annotate(f"{mean:.1f}", (mean, place), xytext=(0, 6), textcoords="offset points",
                      ha="center", fontsize=8, color=BLUE)
    axes.set_yticks(table.index, table.run)
    axes.set_ylim(-0.6, len(table) - 0.2)
    axes.set_xlabel("test accuracy (%): mean ± standard deviation (blue), each seed (grey)")
    return figure


def learning_curves(curves: pd.DataFrame) -> plt.Figure:
    """A panel for each run: accuracy over epochs on the training and the validation images, mean
    over seeds, before the validation curves of all runs in grey.

    Args:
        curves: plots/learning_curves.csv.
    """
    means = curves.groupby(["run", "split", "epoch"], sort=False, as_index=False).accuracy.mean()
    runs = list(dict.fromkeys(means.run))
    columns = min(4, len(runs))
    rows = -(-len(runs) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(2.3 * columns, 2 * rows + 0.6),
                                sharex=True, sharey=True, squeeze=False)
    for place in range(len(runs), rows * columns):
        grid.flat[place].axis("off")
        grid.flat[place - columns].tick_params(labelbottom=True)
    for axes, run in zip(grid.flat, runs, strict=False):
        for _, other in means[means.split == "validation"].groupby("run"):
            axes.plot(other.epoch, other.accuracy, color="#dddddd", linewidth=1, zorder=1)
        for split, color, style in (("train", ORANGE, "--"), ("validation", BLUE, "-")):
            own = means[(means.run == run) & (means.split == split)]
            axes.plot(own.epoch, own.accuracy, style, color=color, marker="o", markersize=3,
                      label=split)
        axes.set_title(run, fontsize=10)
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    figure.supxlabel("epoch")
    figure.supylabel("accuracy (%)")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)
    return figure


def confusion(table: pd.DataFrame, run: str) -> plt.Figure:
    """Share of each true class's images that was given each class, over all seeds.

    Args:
        table: plots/confusion.csv. run: whose it is.
    """
    classes = list(dict.fromkeys(table.actual))
    matrix = table.pivot(index="actual", columns="predicted", values="percent")
    matrix = matrix.loc[classes, classes]
    side = max(4.0, 0.55 * len(classes) + 1.5)
    figure, axes = plt.subplots(figsize=(side + 0.8, side))
    image = axes.imshow(matrix, cmap="Blues", vmin=0, vmax=100)
    if len(classes) <= 20:  # beyond that the numbers would overlap
        for row, column in ((r, c) for r in range(len(classes)) for c in range(len(classes))):
            share = matrix.iat[row, column]
            if share >= 0.5:
                axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=8,
                          color="white" if share > 55 else "black")
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(f"{run}: predictions (% of the true class)")
    axes.grid(False)
    figure.colorbar(image, ax=axes, shrink=0.8, label="%")
    return figure


def parameters(costs: pd.DataFrame) -> plt.Figure:
    """Accuracy of every run against the number of parameters that it trains (log axis).

    Args:
        costs: plots/costs.csv.
    """
    figure, axes = plt.subplots(figsize=(7, 4.5))
    axes.errorbar(costs.parameters_trainable, costs.accuracy, yerr=costs["std"].fillna(0),
                  fmt="o", color=BLUE, capsize=3)
    axes.set_xscale("log")
    axes.margins(x=0.18, y=0.12)
    _label_points(axes, costs)
    axes.set_xlabel("trained parameters")
    axes.set_ylabel("test accuracy (%), mean ± standard deviation")
    return figure


def similarity(table: pd.DataFrame, pairs: dict[str, list[str]]) -> plt.Figure:
    """A row of panels for each pair: cosine of corresponding biases and weights, layer by layer
    from stem to head, and CKA of what the parts put out. Means over seeds, lines to the lowest and
    highest; parts are shaded in turn.

    Args:
        table: plots/similarity.csv. pairs: {pair: [run, run]}.
    """
    if not pairs:
        figure = plt.figure(figsize=(5, 0.6))
        figure.text(0.5, 0.5, "params.yaml names no pairs of runs under `compare:`", ha="center",
                    va="center", color=GREY)
        return figure
    figure, grid = plt.subplots(len(pairs), 3, figsize=(11, 2.9 * len(pairs)), sharey="row",
                                squeeze=False, width_ratios=(5, 5, 2))
    for row, (pair, runs) in zip(grid, pairs.items(), strict=True):
        own = table[table.pair == pair]
        cosines = own[own.measure == "cosine"]
        layers = cosines.drop_duplicates("tensor")
        layers = layers.part.set_axis(layers.tensor.str.rpartition(".")[0])
        layers = layers[~layers.index.duplicated()]  # {layer: part}, stem to head
        for axes, kind in zip(row, ("bias", "weight"), strict=False):
            _similarity_of_tensors(axes, cosines[cosines.kind == kind], layers)
        row[0].set_ylim(min(-0.25, own.value.min() - 0.05), 1.05)
        row[0].set_title(f"{pair}: biases", loc="left", fontsize=10)
        row[1].set_title("weights", loc="left", fontsize=10)
        row[0].set_ylabel(f"{runs[0]} and {runs[1]}\ncosine, CKA")

        parts = own[own.measure == "cka"].groupby("part", sort=False).value
        row[2].plot(range(len(parts)), parts.mean(), "o-", color=BLUE, linewidth=1, markersize=4)
        row[2].vlines(range(len(parts)), parts.min(), parts.max(), color=BLUE, linewidth=1)
        row[2].set_xticks(range(len(parts)), parts.groups, rotation=45, ha="right",
                          rotation_mode="anchor")
        row[2].set_title("CKA", loc="left", fontsize=10)
    for color, label in ((BLUE, "biases, kernels"), (ORANGE, "scales of normalisations"),
                         ("#cccccc", "where 95 % of random directions lie")):
        grid[0, 1].plot([], [], "o" if color.startswith(("#0", "#D")) else "s", color=color,
                        label=label, markersize=4)
    figure.legend(*grid[0, 1].get_legend_handles_labels(), loc="outside upper right", ncols=3,
                  frameon=False, fontsize=9)
    return figure


def _similarity_of_tensors(axes: plt.Axes, cosines: pd.DataFrame, layers: pd.Series) -> None:
    """One panel: the cosines of one kind of tensor.

    Args:
        layers: {layer: part} of the pair, in order; a layer's number is its place on the x axis.
    """
    places = {layer: place for place, layer in enumerate(layers.index)}
    spread = cosines.groupby("tensor", sort=False).agg(
        shape=("shape", "first"), mean=("value", "mean"), low=("value", "min"),
        high=("value", "max"))
    x = [places[tensor.rpartition(".")[0]] for tensor in spread.index]
    shapes = [[int(side) for side in str(shape).split("x")] for shape in spread["shape"]]
    # Scales of normalisations are the weights that are vectors; they start at 1, not at random.
    scales = [len(shape) == 1 and not tensor.endswith("bias")
              for tensor, shape in zip(spread.index, shapes, strict=True)]
    chance = np.array([0 if scale else 2 / math.prod(shape) ** 0.5
                       for scale, shape in zip(scales, shapes, strict=True)])
    axes.bar(x, 2 * chance, bottom=-chance, width=1, color="#cccccc")
    colors = [ORANGE if scale else BLUE for scale in scales]
    axes.vlines(x, spread.low, spread.high, colors=colors, linewidth=1)
    axes.scatter(x, spread["mean"], s=9, c=colors, zorder=3)
    axes.set_xlim(-1, len(layers))
    axes.grid(axis="x", visible=False)
    centres = []
    for number, (_, own) in enumerate(layers.groupby(layers, sort=False)):
        first, last = places[own.index[0]], places[own.index[-1]]
        centres.append((first + last) / 2)
        if number % 2 == 0:
            axes.axvspan(first - 0.5, last + 0.5, color="#f2f2f2", zorder=0, linewidth=0)
    axes.set_xticks(centres, layers.drop_duplicates(), rotation=45, ha="right",
                    rotation_mode="anchor")
    axes.tick_params(axis="x", length=0)


def _label_points(axes: plt.Axes, costs: pd.DataFrame) -> None:
    """Write each run's name near its point, at the nearest place where it lies on no other."""
    axes.figure.canvas.draw()
    renderer = axes.figure.canvas.get_renderer()
    places = axes.transData.transform(costs[["parameters_trainable", "accuracy"]].to_numpy())
    taken = [Bbox.from_bounds(x - 8, y - 7, 16, 14) for x, y in places]
    inside = axes.get_window_extent(renderer)
    offsets = [(side, 10 * step) for step in (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6, 7, -7)
               for side in ("left", "right")]
    for _, row in costs.sort_values("accuracy", ascending=False).iterrows():
        for side, up in offsets:
            text = axes.annotate(
                row.run, (row.parameters_trainable, row.accuracy), fontsize=8, ha=side, va="center",
                xytext=(8 if side == "left" else -8, up), textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.5} if abs(up) > 10 else None)
            # Of the text alone: the annotation's own extent would include its line.
            text.update_positions(renderer)
            box = Text.get_window_extent(text, renderer)
            fits = inside.x0 < box.x0 and box.x1 < inside.x1 and inside.y0 < box.y0
            free = fits and not any(box.overlaps(other) for other in taken)
            if free or (side, up) == offsets[-1]:
                taken.append(box)
                break
            text.remove()
