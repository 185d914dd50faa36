"""Charts of Vega-Lite: templates with the rows of a table.

A template, reporting/templates/NAME.json, draws plots/tables/NAME.csv. `dvc plots` fills it, the
stage plot makes an SVG of it, report.html shows it under the mouse. Its `description` says what it
shows. What Vega leaves to others stands in its `usermeta`:

    "usermeta": {"table": "confusion", "least": {"actual": 21}}

is drawn from plots/tables/confusion.csv, if that has 21 different values of `actual` or more, and

    "usermeta": {"without": {"column": "split", "value": "validation", "subtitle": "Lines: ..."}}

has that subtitle where no row has that value. The words "test score" stand for whatever score the
study goes by, which `dvc plots` cannot know.
https://vega.github.io/vega-lite/docs/
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import vl_convert

from unfreeze import files

TEMPLATES = Path(__file__).parents[1] / "templates"
# Metric-compatible with one another, so that text is as wide as it was when it was laid out;
# vl-convert brings the first.
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
PRINTED = {
    "background": "white",
    # At the sides, for browsers that have none of these fonts and write wider ones.
    "padding": {"left": 40, "right": 46, "top": 5, "bottom": 5},
    "font": FONT,
    "aria": False,  # what one would hover over is for report.html
    "axis": {"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal"},
    "legend": {"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal"},
    "header": {"labelFontSize": 12},
    "title": {"fontSize": 12},
    "view": {"stroke": None},
}
# What names may hold and no SVG may; vl-convert ends the process at it.
_NOT_IN_XML = dict.fromkeys({*range(32), 0xFFFE, 0xFFFF} - {9, 10, 13}, " ")
Rows = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Chart:
    """A chart with its data.

    Attributes:
        text: what it shows. spec: of Vega-Lite, without looks. rows: how many it is drawn from.
    """

    text: str
    spec: dict
    rows: int


def charts(tables: Mapping[str, Rows], score: str = "score") -> dict[str, Chart]:
    """{name: chart} of the templates whose tables have something to draw.

    Args:
        tables: {name: rows of plots/tables/NAME.csv}.
        score: what the study goes by, in words, such as `accuracy (%)`.
    """
    made = {}
    for path in sorted(TEMPLATES.glob("*.json")):
        template = _named(files.read_json(path), score)
        wanted = template.get("usermeta", {})
        rows = tables.get(wanted.get("table", path.stem), ())
        if rows and all(len({row[column] for row in rows} - {""}) >= least
                        for column, least in wanted.get("least", {}).items()):
            less = wanted.get("without")
            if less and all(row[less["column"]] != less["value"] for row in rows):
                template["title"]["subtitle"] = less["subtitle"]
            made[path.stem] = Chart(template["description"], filled(template, rows), len(rows))
    return made


def filled(template: dict, rows: Rows) -> dict:
    """A template of DVC with its rows; without the field `rev`, as here is but one revision, and
    without what is said to one version or one kind of page."""
    spec = _filled(template, [{column: text.translate(_NOT_IN_XML) for column, text in row.items()}
                              for row in rows])
    for key in ("$schema", "background", "description", "usermeta"):
        spec.pop(key, None)
    if "subtitle" in spec.get("title", {}):
        spec["title"] = {"text": spec["title"]["subtitle"], "anchor": "start",
                         "fontWeight": "normal"}
    return spec


def _named(node: object, score: str) -> object:
    """The template with the score's name in every text about a test score."""
    if isinstance(node, dict):
        return {key: _named(value, score) for key, value in node.items()}
    if isinstance(node, list):
        return [_named(value, score) for value in node]
    if isinstance(node, str):
        return re.sub(r"\b([Tt]est) score\b", lambda match: f"{match[1]} {score}", node)
    return node


def with_looks(spec: dict, looks: dict) -> dict:
    """A specification with a configuration; what it sets itself stays."""
    return spec | {"config": looks | {
        part: looks.get(part, {}) | settings for part, settings in spec.get("config", {}).items()}}


def svg(spec: dict) -> str | None:
    """A chart as a picture on white; None where it has no size, as a chart of nothing but
    undefined numbers. Same chart, same text, whatever was drawn before."""
    printed = json.dumps(with_looks(spec, PRINTED)).replace(" (click: alone)", "")
    text = vl_convert.vegalite_to_svg(printed)
    if size(text) is None:
        return None
    names: dict[str, str] = {}  # Vega numbers them on from chart to chart
    return re.sub(r'(id="|url\(#)((?:gradient|clip)_?\d+)', lambda match: match[1]
                  + names.setdefault(match[2], f"id{len(names)}"), text)


def size(picture: str) -> tuple[str, str] | None:
    """Width and height in pixels of an SVG from here; None where it has none."""
    match = re.search(r'<svg[^>]* width="([\d.]+)" height="([\d.]+)"', picture)
    return match and match.groups()


def _filled(node: object, rows: list) -> object:
    """The template with its placeholders filled; keys that hold others are left out, so that Vega
    takes its defaults."""
    if isinstance(node, dict):
        inside = {key: _filled(value, rows) for key, value in node.items()}
        return {key: value for key, value in inside.items() if not _is_placeholder(value)}
    if isinstance(node, list):
        return [_filled(value, rows) for value in node
                if not (isinstance(value, dict) and value.get("field") == "rev")]
    if node == "<DVC_METRIC_DATA>":
        return rows
    return node


def _is_placeholder(value: object) -> bool:
    return isinstance(value, str) and value.startswith("<DVC_")
