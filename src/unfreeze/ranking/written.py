"""What the stage rank leaves, for people who have trained nothing yet and for the report: the
tables of table.py, and a picture of them where there are two models or more. No torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unfreeze import files, words
from unfreeze.ranking.table import HEADER, MODELS, SCORES, SECONDS, TIMED
from unfreeze.reporting.figures import vega

if TYPE_CHECKING:
    from unfreeze.ranking.rank import Ranked

PICTURE = "models.svg"
_TITLES = ("model", *(title for title, _ in SCORES.values()), "operations an image", "seconds")


def write(ranked: Sequence["Ranked"], folder: Path) -> None:
    """Fill a folder; its tables have no rows where nothing is ranked."""
    files.write_csv(folder / MODELS, HEADER, map(_row, ranked))
    files.write_csv(folder / SECONDS, ("model", *TIMED), (
        (each.name, *(round(each.seconds[name], 3) if name in each.seconds else None
                      for name in TIMED)) for each in ranked))
    chart = vega.charts({"models": files.read_csv(folder / MODELS)}).get("models")
    if chart and (picture := vega.svg(chart.spec)):
        files.write_text(folder / PICTURE, picture)


def _row(each: "Ranked") -> tuple:
    return (each.name, each.images, each.image_size, each.dimensions, each.source_classes,
            each.parameters, each.operations,
            *(round(each.scores[name], 4) if name in each.scores else None for name in SCORES))


def as_text(ranked: Sequence["Ranked"]) -> str:
    """The table for a terminal, with what each model took."""
    if not ranked:
        return "no models to rank"
    lines = [_TITLES, *(
        (each.name, *(words.fixed(each.scores[name], decimals) if name in each.scores else "-"
                      for name, (_, decimals) in SCORES.items()),
         words.quantity(each.operations, "operations").removesuffix(" operations"),
         words.fixed(sum(each.seconds.values()), 1)) for each in ranked)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(
        cell.rjust(width) if number else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(line, widths, strict=True))) for line in lines)
