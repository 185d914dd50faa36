"""What happened to the weights: how far they moved, how alike those of two runs are."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.ticker import NullFormatter

from unfreeze.reporting.figures.style import BLACK, BLUE, ORANGE, empty, wrap


def movement(table: pd.DataFrame) -> plt.Figure:
    """How far the pretrained parameters of each part have moved in each run, over the norm of where
    they were, mean over seeds, as a heat map with a logarithmic colour scale.

    Args:
        table: plots/tables/movement.csv.
    """
    if table.empty:
        return empty("No run starts from pretrained weights, so none has moved: `init:` in "
                     "params.yaml.")
    runs, parts = list(dict.fromkeys(table.run)), list(dict.fromkeys(table.part))
    percent = 100 * table.pivot_table(index="run", columns="part", values="relative_distance",
                                      dropna=False).reindex(index=runs, columns=parts)
    positive = percent.where(percent > 0)
    most = positive.max(axis=None)
    norm = LogNorm(min(positive.min(axis=None), most / 10), most) if most > 0 else None
    names = [wrap(run, 36) for run in runs]
    height = len(runs) * (0.15 + 0.14 * (1 + max(name.count("\n") for name in names)))
    figure, axes = plt.subplots(figsize=(3.8 + 0.55 * len(parts), max(2.8, 1.5 + height)))
    image = axes.imshow(positive, cmap="Blues", norm=norm, aspect="auto")
    for row, column in np.ndindex(percent.shape):
        share = percent.iat[row, column]
        dark = share > 0 and image.norm(share) > 0.6
        axes.text(column, row, _percent(share), ha="center", va="center", fontsize=8,
                  color="white" if dark else BLACK)
    axes.set_xticks(range(len(parts)), parts, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(runs)), names)
    axes.set_xlabel("part, stem to head")
    axes.grid(False)
    if most > 0:
        bar = figure.colorbar(image, ax=axes, label="distance from the start\n(% of its norm)",
                              format="%g", shrink=min(1, 3 / height))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
    return figure


def _percent(share: float) -> str:
    """At most four characters; a dash where there was nothing to move."""
    if np.isnan(share):
        return "–"
    if 0 < share < 0.01:
        return "<.01"
    return "0" if share == 0 else f"{share:.{0 if share >= 10 else 1 if share >= 1 else 2}f}"


def similarity(table: pd.DataFrame, pairs: dict[str, list[str]]) -> plt.Figure:
    """A row of panels for each pair: cosine of corresponding biases and weights, layer by layer
    from stem to head, and CKA of what the parts put out. Means over seeds, lines to the lowest and
    highest; parts are shaded in turn.

    Args:
        table: plots/tables/similarity.csv. pairs: {pair: [run, run]}.
    """
    if not pairs:
        return empty("params.yaml names no pairs of runs: write some under `compare:`.")
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
        row[0].set_title(wrap(f"{pair}: biases", 56), loc="left", fontsize=10)
        row[1].set_title("weights", loc="left", fontsize=10)
        row[0].set_ylabel(wrap(f"{runs[0]} and {runs[1]}", 32) + "\ncosine, CKA")

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
