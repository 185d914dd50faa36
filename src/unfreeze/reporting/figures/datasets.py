"""Pictures of the datasets themselves: examples of each class, and how many images there are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unfreeze.reporting.figures.style import BLUE, ORANGE, one_line, plt, wrap

MOST_CLASSES = 20  # rows of a gallery
COLUMNS = 8        # its images of a class
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


def gallery(examples: Sequence[Examples]) -> plt.Figure:
    """A row of images for each class, the datasets one below another. Save it as .png."""
    lines = [(each, *row) for each in examples for row in each.rows]
    figure, grid = plt.subplots(len(lines), COLUMNS, squeeze=False,
                                figsize=(1.1 * COLUMNS + 1.6, 1.12 * len(lines) + 0.4))
    shown = None
    for axes, (each, name, images) in zip(grid, lines, strict=True):
        for place in axes:
            place.axis("off")
        for place, image in zip(axes, images, strict=False):
            place.imshow(image, interpolation="nearest")
        axes[0].text(-0.08, 0.5, wrap(one_line(name), _NAME), transform=axes[0].transAxes,
                     ha="right", va="center", fontsize=8)
        if each is not shown:
            some = f", {len(each.rows)} of {each.classes} classes"
            axes[0].set_title(each.dataset + some * (len(each.rows) < each.classes), fontsize=10,
                              loc="left")
            shown = each
    return figure


def class_counts(cards: Sequence[dict]) -> plt.Figure:
    """Training and test images of each class; of more classes than fit, their numbers sorted.

    Args:
        cards: of datasets (`data.cards`).
    """
    heights = [0.24 * min(len(card["classes"]), 2 * MOST_CLASSES) + 0.9 for card in cards]
    figure, grid = plt.subplots(len(cards), 1, squeeze=False, figsize=(7, sum(heights)),
                                height_ratios=heights)
    for axes, card in zip(grid[:, 0], cards, strict=True):
        train, test = (np.array(card["counts"][split]) for split in ("train", "test"))
        many = len(train) > 2 * MOST_CLASSES
        places = np.arange(len(train))
        for counts, left, colour, split in ((train, 0, BLUE, "training"),
                                            (test, train, ORANGE, "test")):
            if many:
                axes.plot(places, np.sort(counts)[::-1], color=colour, label=split)
            else:
                axes.barh(places, counts, left=left, color=colour, label=split)
        if many:
            axes.set(xlabel="classes, the largest first", ylabel="images")
            axes.set_ylim(bottom=0)
        else:
            axes.set(xlabel="images", yticks=places,
                     yticklabels=[shorten(one_line(name)) for name in card["classes"]])
            axes.invert_yaxis()
            axes.grid(axis="y", visible=False)
        axes.set_title(card["name"], fontsize=10, loc="left")
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def shorten(name: str) -> str:
    return name if len(name) <= 2 * _NAME else f"{name[:2 * _NAME - 1]}…"
