"""Pictures of the datasets themselves: examples of each class, and how many images there are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unfreeze.reporting.figures import vega
from unfreeze.reporting.figures.pixels import one_line, plt, png, wrap

MOST_CLASSES = 20  # rows of a gallery
COLUMNS = 8        # its images of a class
MOST_BARS = 40     # of classes; of more, their numbers alone
_NAME = 18         # characters of a line of a class's name


@dataclass(frozen=True)
class Examples:
    """Some images of a dataset.

    Attributes:
        dataset: its name. classes: how many there are.
        rows: (name of a class, (K, H, W, 3) uint8 images of it), K <= COLUMNS.
    """

    dataset: str
    classes: int
    rows: list[tuple[str, np.ndarray]]


def choose(classes: Sequence[str], labels: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """(class, (K,) rows of its images to show): at most MOST_CLASSES classes and COLUMNS images of
    each, evenly spread over all that there are."""
    return [(classes[label], _spread(np.flatnonzero(labels == label), COLUMNS))
            for label in _spread(np.arange(len(classes)), MOST_CLASSES)]


def _spread(items: np.ndarray, most: int) -> np.ndarray:
    if len(items) <= most:
        return items
    return items[np.linspace(0, len(items) - 1, most).round().astype(int)]


def gallery(examples: Sequence[Examples]) -> bytes:
    """A row of images for each class, the datasets one below another, as PNG."""
    lines = [(dataset, *row) for dataset in examples for row in dataset.rows]
    figure, grid = plt.subplots(len(lines), COLUMNS, squeeze=False,
                                figsize=(1.1 * COLUMNS + 1.6, 1.12 * len(lines) + 0.4))
    shown = None
    for row, (dataset, name, images) in zip(grid, lines, strict=True):
        for axes in row:
            axes.axis("off")
        for axes, image in zip(row, images, strict=False):
            axes.imshow(image, interpolation="nearest")
        row[0].text(-0.08, 0.5, wrap(one_line(name), _NAME), transform=row[0].transAxes,
                    ha="right", va="center", fontsize=8)
        if dataset is not shown:
            some = f", {len(dataset.rows)} of {dataset.classes} classes"
            row[0].set_title(dataset.dataset + some * (len(dataset.rows) < dataset.classes),
                             fontsize=10, loc="left")
            shown = dataset
    return png(figure)


def class_counts(cards: Sequence[dict]) -> str:
    """Training and test images of each class, as SVG; of more classes than fit, their numbers
    sorted.

    Args:
        cards: of datasets (data.acquire.cards).
    """
    return vega.svg({"vconcat": [_counts(card) for card in cards]})


def _counts(card: dict) -> dict:
    names = [one_line(name) for name in card["classes"]]
    many = len(names) > MOST_BARS
    rows = []
    for split, counts in (("training", card["counts"]["train"]), ("test", card["counts"]["test"])):
        ordered = sorted(counts, reverse=True) if many else counts
        rows += [{"split": split, "class": place, "images": images}
                 for place, images in enumerate(ordered)]
    color = {"field": "split", "type": "nominal", "title": None, "sort": None,
             "scale": {"domain": ["training", "test"], "range": ["#0072B2", "#D55E00"]}}
    images = {"field": "images", "type": "quantitative", "title": "images"}
    if many:
        return {"title": {"text": card["name"], "anchor": "start"}, "data": {"values": rows},
                "mark": "line", "width": 480, "height": 240, "encoding": {
                    "x": {"field": "class", "type": "quantitative",
                          "title": "classes, the largest first"}, "y": images, "color": color}}
    # Two classes may have names that are shown alike, and so are told apart by their places.
    label = f"{json.dumps(names)}[datum.value]"
    return {"title": {"text": card["name"], "anchor": "start"}, "data": {"values": rows},
            "mark": "bar", "width": 480, "height": {"step": 18}, "encoding": {
                "y": {"field": "class", "type": "ordinal", "title": None,
                      "axis": {"labelExpr": label, "labelLimit": 240}},
                "x": images, "color": color,
                "order": {"field": "split", "sort": "descending"}}}
