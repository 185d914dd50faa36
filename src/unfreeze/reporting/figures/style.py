"""What all pictures share: colours, fonts, sizes, and how they are written."""

import io
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")  # measures text for placing labels; the files are SVG all the same
import matplotlib.pyplot as plt  # noqa: E402  (after the backend is chosen)

from unfreeze import files  # noqa: E402

# Okabe and Ito's colours, which people with any colour vision can tell apart; not their yellow,
# which is faint on white.
BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY, BLACK = PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#777777"
_PREFIXED = matplotlib.ticker.EngFormatter(places=None)
plt.rcParams |= {
    "svg.hashsalt": "unfreeze",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "legend.fontsize": 9,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "text.parse_math": False,  # names may hold dollar signs
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e0e0e0",
    "figure.constrained_layout.use": True,
}


def save(figure: plt.Figure, path: Path) -> None:
    """Write a figure as SVG or PNG, by the path's suffix, and close it. Same figure, same bytes."""
    content = io.BytesIO()
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    figure.savefig(content, format=path.suffix[1:], metadata=metadata, dpi=150)
    plt.close(figure)
    files.write_bytes(path, content.getvalue())


def empty(text: str) -> plt.Figure:
    """A picture of nothing: a line that says why, and what would fill it."""
    figure = plt.figure(figsize=(max(5, 0.085 * len(text)), 0.6))
    figure.text(0.5, 0.5, text, ha="center", va="center", color=GREY)
    return figure


def panels(names: Sequence[str], columns: int, width: float, height: float,
           **share: bool | str) -> tuple[plt.Figure, list[plt.Axes]]:
    """A grid of panels with their names as titles.

    Args:
        columns: at most. width, height: of a panel, inches. share: sharex, sharey of `subplots`.
    """
    columns = min(columns, len(names))
    rows = -(-len(names) // columns)
    figure, grid = plt.subplots(rows, columns, squeeze=False, **share, figsize=(
        max(width * columns + 0.5, 6.5), max(height * rows + 0.8, 3.2)))
    for place in range(len(names), rows * columns):
        grid.flat[place].axis("off")
        grid.flat[place - columns].tick_params(labelbottom=True)
    axes = list(grid.flat[:len(names)])
    for own, name in zip(axes, names, strict=True):
        own.set_title(wrap(name, int(14 * width)), fontsize=9)
    return figure, axes


def one_line(name: str) -> str:
    """A name of the user's, which may hold anything that a folder's name may."""
    return " ".join("".join(c if c.isprintable() else " " for c in name).split()) or ascii(name)


class _Wrapper(textwrap.TextWrapper):
    wordsep_re = re.compile(r"( +|[^ _-]*[_-]+)")  # a line may also end behind _ and -


def wrap(text: str, characters: int) -> str:
    """The text in lines of at most so many characters."""
    return "\n".join(_Wrapper(characters).wrap(text))


def number(value: float, unit: str, decimals: int | None = None) -> str:
    """250000000 as 250 MB where the unit is bytes, else as 250 M; small ones as they are, with so
    many decimals."""
    if abs(value) >= 1000:
        return _PREFIXED(value) + ("B" if unit == "bytes" else "")
    value = round(value, 12 if decimals is None else decimals) + 0.0  # no -0
    return (f"{value:g}" if decimals is None else f"{value:.{decimals}f}").replace("-", "−")


def number_ticks(axis: matplotlib.axis.Axis, unit: str) -> None:
    """Label the ticks of an axis as `number` does."""
    axis.set_major_formatter(lambda value, _: number(value, unit))
    axis.set_minor_formatter(matplotlib.ticker.NullFormatter())
