"""Pictures made of pixels, with matplotlib: how they look, and how they are written."""

import io
import re
import textwrap

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt  # noqa: E402  (after the backend is chosen)

plt.rcParams |= {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,  # names may hold dollar signs
    "figure.constrained_layout.use": True,
}


def png(figure: plt.Figure) -> bytes:
    """A figure as PNG; it is closed. Same figure, same bytes."""
    content = io.BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None}, dpi=150)
    plt.close(figure)
    return content.getvalue()


def one_line(name: str) -> str:
    """A name of the user's, which may hold anything that a folder's name may."""
    return " ".join("".join(c if c.isprintable() else " " for c in name).split()) or ascii(name)


class _Wrapper(textwrap.TextWrapper):
    wordsep_re = re.compile(r"( +|[^ _-]*[_-]+)")  # a line may also end behind _ and -


def wrap(text: str, characters: int) -> str:
    """The text in lines of at most so many characters."""
    return "\n".join(_Wrapper(characters).wrap(text))
