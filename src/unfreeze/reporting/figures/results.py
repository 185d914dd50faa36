"""What came out: accuracy of the runs, the claims, accuracy against the share of the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from unfreeze.reporting.figures.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    PALETTE,
    empty,
    number,
    number_ticks,
    wrap,
)


def accuracy(table: pd.DataFrame, seeds: Mapping[str, Sequence[float]] | None = None) -> plt.Figure:
    """Test accuracy of every run with its 95 % interval, best on top.

    Args:
        table: plots/tables/accuracy.csv, best first. seeds: {run: accuracy of each seed}, drawn as
            strokes.
    """
    if table.empty:
        return empty("No run has an accuracy: every one of them failed.")
    table = table.iloc[::-1].reset_index(drop=True)
    names = [wrap(run, 36) for run in table.run]
    heights = np.array([max(1.0, 0.62 * (name.count("\n") + 1)) for name in names])
    places = np.cumsum(heights) - heights / 2
    figure, axes = plt.subplots(figsize=(8, 1.1 + 0.27 * heights.sum()))
    one_seed = table.replicates < 2
    for place, run in zip(places, table.run, strict=True):
        own = (seeds or {}).get(run, [])
        axes.scatter(own, [place] * len(own), s=60, marker="|", color=GREY, zorder=2)
    for chosen, face, label in ((~one_seed, BLUE, "mean over seeds"),
                                (one_seed, "white", "one seed: interval over test images alone")):
        if chosen.any():
            axes.hlines(places[chosen], table.low[chosen], table.high[chosen], color=BLUE)
            axes.plot(table.accuracy[chosen], places[chosen], "o", color=BLUE,
                      markerfacecolor=face, label=label)
    if seeds:
        axes.scatter([], [], s=60, marker="|", color=GREY, label="each seed")
    for place, mean, low, high in zip(places, table.accuracy, table.low, table.high, strict=True):
        text = f"{mean:.1f}" + ("" if np.isnan(low) else f"  [{low:.1f}, {high:.1f}]")
        axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.set_yticks(places, names)
    axes.set_ylim(0, heights.sum())
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("test accuracy (%) with its 95 % interval")
    figure.legend(loc="outside upper right", ncols=3, frameon=False)
    return figure


VERDICTS = {"holds": (BLUE, "o", BLUE), "contradicted": (ORANGE, "s", ORANGE),
            "not distinguishable": (GREY, "D", "white")}  # colour, shape, inside


def claims(table: pd.DataFrame) -> plt.Figure:
    """Forest plot: effect and 95 % interval of every comparison, and what became of each claim. A
    panel for each quantity, whose unit it has.

    Args:
        table: plots/tables/claims.csv.
    """
    if table.empty:
        return empty("params.yaml makes no claims: write some under `claims:`, as in "
                     "`- base > last_only`.")
    groups = {key: _rows(own) for key, own in table.groupby(["quantity", "unit"], sort=False)}
    heights = [sum(row.height for row in rows) for rows in groups.values()]
    figure, grid = plt.subplots(
        len(groups), squeeze=False, height_ratios=[height + 2 for height in heights],
        figsize=(10, 0.5 + sum(0.55 + 0.21 * height for height in heights)))
    for axes, ((quantity, unit), rows) in zip(grid[:, 0], groups.items(), strict=True):
        _forest(axes, rows, unit)
        axes.set_xlabel(f"{quantity} ({unit}): effect and 95 % interval; right of 0: as claimed",
                        fontsize=9)
    shown = [verdict for verdict in VERDICTS if verdict in set(table.verdict)]
    for verdict in shown:
        color, marker, face = VERDICTS[verdict]
        grid[0, 0].plot([], [], marker, color=color, markerfacecolor=face, label=verdict)
    if shown:
        figure.legend(loc="outside upper right", ncols=3, frameon=False)
    return figure


@dataclass(frozen=True)
class _Row:
    """A line of the forest plot: a comparison, or (comparison None) the head of a claim of many."""

    label: str
    right: str
    verdict: str
    height: float
    comparison: pd.Series | None


def _rows(table: pd.DataFrame) -> list[_Row]:
    rows = []
    for place, own in table.groupby("number", sort=False):
        first = own.iloc[0]
        head = wrap(f"{place}. {first.claim}", 52)
        if len(own) > 1:
            rows.append(_Row(head, first.claim_verdict, first.claim_verdict, _height(head), None))
        for _, row in own.iterrows():
            label = head if len(own) == 1 else wrap(row.comparison, 52)
            right = row.verdict
            if np.isfinite(row.effect):
                right = f"{_effect(row)}: {row.verdict}"
                if len(own) == 1 and np.isfinite(row.p_corrected):
                    right += f", p {_p(row.p_corrected)}"
            rows.append(_Row(label, right, row.verdict, _height(label), row))
    return rows


def _height(label: str) -> float:
    return max(1.2, 0.75 * (label.count("\n") + 1) + 0.3)


def _effect(row: pd.Series) -> str:
    values = [row.effect, row.low, row.high] if np.isfinite(row.low) else [row.effect]
    decimals = 1 if max(map(abs, values)) >= 1 else 3
    effect, *ends = [number(value, row.unit, decimals) for value in values]
    return ("+" if row.effect > 0 else "") + effect + (f" [{', '.join(ends)}]" if ends else "")


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def _forest(axes: plt.Axes, rows: list[_Row], unit: str) -> None:
    total = sum(row.height for row in rows)
    top, places = total, []
    for row in rows:
        place = top - row.height / 2
        top -= row.height
        places.append(place)
        color, marker, face = VERDICTS.get(row.verdict, (GREY, "", "white"))
        if row.comparison is not None:
            axes.hlines(place, row.comparison.low, row.comparison.high, color=color, linewidth=1.5)
            axes.plot(row.comparison.effect, place, marker, color=color, markerfacecolor=face)
        axes.text(1.02, place, row.right, transform=axes.get_yaxis_transform(), va="center",
                  fontsize=8, weight="bold" if row.comparison is None else "normal")
    axes.axvline(0, color=BLACK, linewidth=0.8)
    axes.set_yticks(places, [row.label for row in rows], fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(0, total)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.08)
    number_ticks(axes.xaxis, unit)


def fractions(table: pd.DataFrame) -> plt.Figure:
    """Accuracy against the fraction of the training images (log2 axis), a line for each series,
    with the 95 % intervals as bands; from scratch is dashed.

    Args:
        table: plots/tables/fractions.csv.
    """
    if table.empty:
        return empty("No two runs differ in their share of the training images alone: add some "
                     "with another `fraction:` in params.yaml.")
    series = table.groupby("series", sort=False)
    longest = max(len(str(name)) for name in series.groups)
    columns = max(1, min(3, 100 // (longest + 12)))
    figure, axes = plt.subplots(figsize=(7, 4.2 + 0.2 * -(-len(series) // columns)))
    for (name, own), color, marker in zip(series, cycle(PALETTE), cycle("osD^vP*X<>"),
                                          strict=False):
        own = own.sort_values("fraction")
        scratch = own.init.iloc[0] == "scratch"
        axes.fill_between(own.fraction, own.low, own.high, color=color, alpha=0.15, linewidth=0)
        axes.plot(own.fraction, own.accuracy, "--" if scratch else "-", marker=marker, color=color,
                  markerfacecolor="white" if scratch else color, label=wrap(str(name), 80))
    axes.set_xscale("log", base=2)
    axes.set_xticks(*_fraction_ticks(sorted(set(table.fraction))))
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.set_xlabel("share of the training images (%, log2 scale)")
    axes.set_ylabel("test accuracy (%), 95 % intervals")
    figure.legend(loc="outside lower center", ncols=columns, frameon=False)
    return figure


def _fraction_ticks(fractions: list[float]) -> tuple[list[float], list[str]]:
    """Those of the fractions that stand far enough apart for their labels."""
    gap = max(np.log2(fractions[-1] / fractions[0]) / 14, 1e-9)
    kept: list[float] = []
    for fraction in fractions:
        if not kept or np.log2(fraction / kept[-1]) >= gap:
            kept.append(fraction)
    return kept, [f"{100 * fraction:.3g}" for fraction in kept]
