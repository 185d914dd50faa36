"""What a report is made of, whatever it is written as: sections of paragraphs, lists, tables and
pictures; and how they read in Markdown.

Plain strings are text and nothing else: each writer escapes what its language takes for markup.
"""

import re
from dataclasses import dataclass, field

from unfreeze import places


@dataclass(frozen=True)
class Strong:
    text: str


@dataclass(frozen=True)
class Code:
    text: str


@dataclass(frozen=True)
class Verdict:
    """`holds`, `contradicted`, `not distinguishable`, ..."""

    text: str


@dataclass(frozen=True)
class Number:
    """A cell that is sorted by its value and not by its text; None sorts last."""

    value: float | None
    text: str


Inline = str | Strong | Code | Verdict | Number
Parts = tuple[Inline, ...]
Cell = Inline | Parts


@dataclass(frozen=True)
class Paragraph:
    parts: Parts


@dataclass(frozen=True)
class Items:
    """A list without numbers; each item is a line of parts."""

    items: list[Parts]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: what it shows, said to those who do not see it.
        columns: titles. numbers: those that hold numbers.
        rows: a cell for each column.
        sortable: whether readers may sort it; else its order has a meaning. sorted_by: (column,
            "ascending" or "descending"), where it comes sorted by one.
    """

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    numbers: frozenset[str] = frozenset()
    sortable: bool = False
    sorted_by: tuple[str, str] | None = None


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        file: where it lies in the study's folder.
        text: what it shows; "" for what the chart itself says.
    """

    file: str
    text: str

    @classmethod
    def chart(cls, name: str, text: str = "", measured: bool = False) -> "Picture":
        """One of the stage plot's.

        Args:
            measured: whether it is drawn from what was measured.
        """
        folder = places.MEASURED_CHARTS if measured else places.CHARTS
        return cls(str(folder / f"{name}.svg"), text)


Block = Paragraph | Items | Table | Picture


@dataclass(frozen=True)
class Section:
    """A section.

    Attributes:
        measured: whether it rests on what was measured, which is different on another machine or
            another day: it is left out of what git tracks.
    """

    title: str
    blocks: list[Block] = field(default_factory=list)
    measured: bool = False


def line(*parts: Inline) -> Paragraph:
    return Paragraph(parts)


def listed(names: list[Inline], between: str = ", ") -> Parts:
    """`a, b, c` as parts of a line."""
    return tuple(part for name in names for part in (between, name))[1:]


def with_code(text: str) -> Parts:
    """Words of a user's, in which `backticks` enclose code; one that has no other stands for
    itself."""
    return tuple(Code(part[1:-1]) if re.fullmatch("`[^`]+`", part) else part
                 for part in re.split("(`[^`]+`)", text) if part)


def markdown(title: str, sections: list[Section]) -> str:
    """The report as one would write it by hand, in GitHub's Markdown."""
    texts = [f"# {escaped(title)}"]
    for section in sections:
        texts += [f"## {escaped(section.title)}", *map(_block, section.blocks)]
    return "\n\n".join(texts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Paragraph(parts):
            return _line(parts)
        case Items(items):
            return "\n".join(f"- {_line(item)}" for item in items)
        case Picture(file, text):
            return f"![{escaped(text)}]({file})"
        case Table():
            rules = ["---:" if column in block.numbers else "---" for column in block.columns]
            rows = [[_line(parts_of(cell)) for cell in row]
                    for row in (block.columns, *block.rows)]
            lines = ["| " + " | ".join(row) + " |" for row in rows]
            lines.insert(1, "|" + "|".join(rules) + "|")
            return "\n".join(lines)


def parts_of(cell: Cell) -> Parts:
    return cell if isinstance(cell, tuple) else (cell,)


def _line(parts: Parts) -> str:
    return "".join(map(_inline, parts))


def _inline(part: Inline) -> str:
    match part:
        case Strong(text):
            return f"**{escaped(text)}**"
        case Code(text):
            text = one_line(text).replace("|", r"\|")  # which a table needs even here
            fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
            gap = " " if text.startswith("`") or text.endswith("`") else ""
            return f"{fence}{gap}{text}{gap}{fence}"
        case Verdict(text) | Number(_, text):
            return escaped(text)
    return escaped(part)


def escaped(text: str) -> str:
    """Text of which Markdown takes nothing for markup. Underscores within words are none."""
    text = re.sub(r"([\\`*\[\]|~$&]|<(?=[A-Za-z/!?]))", r"\\\1", one_line(text))
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


def one_line(text: str) -> str:
    """Users' words may hold line breaks; a cell or a list's item may not. Spaces at the ends stay,
    since parts of a line are written one after another."""
    return re.sub(r"[ \t]*[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]\s*", " ", text)
