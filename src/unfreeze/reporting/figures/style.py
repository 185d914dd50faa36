"""What all pictures share: colours, fonts, sizes, and how they are written."""

import io
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
