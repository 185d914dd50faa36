"""What happened to the weights: how far they moved, how alike those of two runs are."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from unfreeze.reporting.figures.style import BLUE, GREY, ORANGE, empty


def movement(table: pd.DataFrame) -> plt.Figure:
    """How far the pretrained parameters of each part have moved in each run, as a heat map.

    Args:
        table: plots/movement.csv (run, part, seed, distance, relative_distance).
    """
    return empty("movement")


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
