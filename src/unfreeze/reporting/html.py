"""report.html: the report as one file that needs no other and asks for none, with tables that sort
and charts that answer the mouse.

The charts are those of figures/vega.py, drawn by the reader's browser; Vega comes inside
vl-convert. A content security policy keeps the page from loading anything.
"""

import base64
import html
import json
import re
import struct
from collections.abc import Mapping, Set
from functools import cache
from pathlib import Path

import vl_convert

from unfreeze.reporting.document import (
    Block,
    Cell,
    Code,
    Inline,
    Items,
    Number,
    Paragraph,
    Parts,
    Picture,
    Section,
    Strong,
    Table,
    Verdict,
    parts_of,
)
from unfreeze.reporting.figures import vega

FOLDER = Path(__file__).parent
FILTER_FROM = 12  # rows; shorter tables are taken in at a glance
MOST_ROWS = 20_000  # of a chart; a browser does not draw more in a moment
MEASURED = "Measured on this machine; on another, or another day, it may come out otherwise."
LONG = 30  # characters; columns with longer texts get room for them

# Text and lines take the page's colour, whether it is light, dark or printed.
_INK = "currentColor"
LOOKS = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "axis": {"labelFontSize": 11, "titleFontSize": 12, "labelColor": _INK, "titleColor": _INK,
             "domainColor": _INK, "tickColor": _INK, "gridColor": _INK, "gridOpacity": 0.15},
    "legend": {"labelFontSize": 11, "titleFontSize": 12, "labelColor": _INK, "titleColor": _INK},
    "header": {"labelFontSize": 12, "labelColor": _INK, "titleColor": _INK},
    "title": {"fontSize": 13, "color": _INK, "subtitleColor": _INK},
    "text": {"color": _INK},
    "rule": {"color": _INK},
    "view": {"stroke": None},
}


def page(title: str, sections: list[Section], charts: Mapping[str, vega.Chart], root: Path) -> str:
    """The whole page.

    Args:
        charts: {file of a picture: chart}, shown instead of it unless it has too many rows.
        root: the study's folder, in which the pictures lie.
    """
    shown = {block.file for section in sections for block in section.blocks
             if isinstance(block, Picture)}
    specs = {file: vega.with_looks(chart.spec, LOOKS) for file, chart in charts.items()
             if file in shown and chart.rows <= MOST_ROWS}
    body = "\n".join(_section(section, set(specs), root) for section in sections)
    links = "\n".join(f'<li><a href="#{_slug(section.title)}">{_escape(section.title)}</a></li>'
                      for section in sections)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{_escape(title)}</title>
<style>
{(FOLDER / "page.css").read_text()}</style>
</head>
<body>
<main>
<h1>{_escape(title)}</h1>
<nav aria-label="Sections"><ul>
{links}
</ul></nav>
{body}
</main>
<script type="application/json" id="charts">{script_json(specs)}</script>
<script type="module">
{_bundle() if specs else ""}</script>
<script type="module">
{(FOLDER / "page.js").read_text()}</script>
</body>
</html>
"""


def script_json(value: object) -> str:
    """JSON that can lie in a script element whatever its texts hold: no `<` opens or closes any."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


@cache  # a second's work, always the same
def _bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script that leaves `window.vegaEmbed` behind
    (0.9 MB)."""
    script = vl_convert.javascript_bundle()
    return re.sub(r"<(?=/script|!--|script)", r"\\x3c", script, flags=re.IGNORECASE)


def _section(section: Section, charts: Set[str], root: Path) -> str:
    blocks = "\n".join(_block(block, charts, root) for block in section.blocks)
    name = _slug(section.title)
    if section.measured:
        blocks = f'<p class="measured">{MEASURED}</p>\n{blocks}'
    return (f'<section aria-labelledby="{name}">\n<h2 id="{name}">{_escape(section.title)}</h2>\n'
            f"{blocks}\n</section>")


def _block(block: Block, charts: Set[str], root: Path) -> str:
    match block:
        case Paragraph(parts):
            return f"<p>{_line(parts)}</p>"
        case Items(items):
            lines = "\n".join(f"<li>{_line(item)}</li>" for item in items)
            return f"<ul>\n{lines}\n</ul>"
        case Picture():
            return _picture(block, charts, root)
        case Table():
            return _table(block)


def _picture(picture: Picture, charts: Set[str], root: Path) -> str:
    """A chart, or the picture itself. Room is kept for it, so that nothing moves when it comes.

    Args:
        charts: files that the browser draws itself.
    """
    text = _escape(picture.text)
    content = (root / picture.file).read_bytes()
    if picture.file in charts:
        width, height = vega.size(content.decode())
        inside = (f'<div class="chart" data-chart="{_escape(picture.file)}" '
                  f'style="min-width:{width}px;min-height:{height}px"></div>')
    else:
        uri, width, height = _image(content)
        inside = f'<img src="{uri}" width="{width}" height="{height}" alt="{text}">'
    return (f'<figure><div class="scroll" role="region" tabindex="0" aria-label="{text}">{inside}'
            f"</div><figcaption>{text}</figcaption></figure>")


def _image(content: bytes) -> tuple[str, str, str]:
    """A picture as a data URI, its width and height in pixels."""
    if content.startswith(b"\x89PNG"):
        kind = "png"
        width, height = map(str, struct.unpack(">II", content[16:24]))  # of the header chunk
    else:
        kind = "svg+xml"
        width, height = vega.size(content.decode())
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}", width, height


def _table(table: Table) -> str:
    filtered = table.sortable and len(table.rows) >= FILTER_FROM
    wide = {column for number, column in enumerate(table.columns) if column not in table.numbers
            and any(len(_text(row[number])) > LONG for row in table.rows)}
    head = "".join(_head(table, column, column in wide) for column in table.columns)
    rows = "\n".join(
        "<tr>" + "".join(
            _cell(cell, column in table.numbers, number == 0)
            for number, (column, cell) in enumerate(zip(table.columns, row, strict=True))) + "</tr>"
        for row in table.rows)
    name = _escape(table.name)
    search = (f'<p class="filter"><label>Filter <input type="search" autocomplete="off" '
              f'aria-label="Filter {name}"></label> <output>{len(table.rows)} of '
              f"{len(table.rows)}</output></p>\n"
              if filtered else "")
    return (f'<div class="table">\n{search}<div class="scroll" role="region" tabindex="0" '
            f'aria-label="{name}">\n<table{" class=sortable" if table.sortable else ""}>\n'
            f"<caption>{name}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n"
            "</tbody>\n</table>\n</div>\n</div>")


def _head(table: Table, column: str, wide: bool) -> str:
    kind = ' class="number"' if column in table.numbers else ' class="wide"' if wide else ""
    by, direction = table.sorted_by or (None, None)
    order = f' aria-sort="{direction}"' if by == column else ""
    text = _escape(column)
    if table.sortable:
        text = f'<button type="button">{text}<span aria-hidden="true"></span></button>'
    return f'<th scope="col"{kind}{order}>{text}</th>'


def _cell(cell: Cell, number: bool, first: bool) -> str:
    kind = ' class="number"' if number else ""
    value = ""
    if isinstance(cell, Number):
        value = f' data-value="{"" if cell.value is None else cell.value}"'
    tag, scope = ("th", ' scope="row"') if first else ("td", "")
    return f"<{tag}{scope}{kind}{value}>{_line(parts_of(cell))}</{tag}>"


def _text(cell: Cell) -> str:
    return "".join(part if isinstance(part, str) else part.text for part in parts_of(cell))


def _line(parts: Parts) -> str:
    return "".join(map(_inline, parts))


def _inline(part: Inline) -> str:
    match part:
        case Strong(text):
            return f"<strong>{_escape(text)}</strong>"
        case Code(text):
            return f"<code>{_escape(text)}</code>"
        case Verdict(text):
            return f'<span class="verdict {_slug(text)}">{_escape(text)}</span>'
        case Number(_, text):
            return _escape(text)
    return _escape(part)


def _escape(text: str) -> str:
    return html.escape(text, quote=True)


def _slug(text: str) -> str:
    return re.sub(r"\W+", "-", text.lower()).strip("-")
