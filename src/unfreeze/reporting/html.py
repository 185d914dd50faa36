"""report.html: the report as one file that needs no other and asks for none, with tables that sort
and charts that answer the mouse.

The charts are those of `dvc plots` (templates/NAME.json over plots/tables/NAME.csv); Vega, which
draws them, comes inside vl-convert. A content security policy keeps the page from loading anything.
"""

import base64
import html
import json
import re
import struct
from collections.abc import Mapping
from pathlib import Path, PurePath

import vl_convert

from unfreeze import files
from unfreeze.reporting.document import (
    Block,
    Code,
    Inline,
    Items,
    Number,
    Paragraph,
    Picture,
    Section,
    Strong,
    Table,
    Verdict,
)

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"
FILTER_FROM = 12  # rows; shorter tables are taken in at a glance
MOST_ROWS = 20_000  # of a chart
LONG = 30  # characters; columns with longer texts get room for them

# Text and lines take the page's colour, whether it is light, dark or printed.
_INK = "currentColor"
CONFIG = {
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


def page(title: str, sections: list[Section], charts: Mapping[str, dict], plots: Path) -> str:
    """The whole page.

    Args:
        charts: {name: Vega-Lite specification}, shown instead of the picture NAME.svg.
        plots: the folder of the pictures that have no chart.
    """
    shown = {block.file.partition(".")[0] for section in sections for block in section.blocks
             if isinstance(block, Picture)}
    charts = {name: chart for name, chart in charts.items() if name in shown}
    body = "\n".join(_section(section, charts, plots) for section in sections)
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
<script type="application/json" id="charts">{script_json(charts)}</script>
<script type="module">
{_bundle() if charts else ""}</script>
<script type="module">
{(FOLDER / "page.js").read_text()}</script>
</body>
</html>
"""


def charts(tables: Path) -> dict[str, dict]:
    """{name: specification} of every template that has rows in plots/tables/NAME.csv, filled as
    `dvc plots` fills it. What has more rows than a browser draws in a moment has none: the page
    shows its picture."""
    found = {}
    for template in sorted(TEMPLATES.glob("*.json")):
        table = tables / f"{template.stem}.csv"
        rows = files.read_csv(table) if table.exists() else []
        if 0 < len(rows) <= MOST_ROWS:
            found[template.stem] = chart(files.read_json(template), rows)
    return found


def chart(template: dict, rows: list[dict[str, str]]) -> dict:
    """A template of DVC with its rows; without the field `rev`, as here is but one revision."""
    spec = _filled(template, rows)
    spec.pop("$schema", None)  # DVC's Vega-Lite may be older than ours, which would warn of it
    spec.pop("background", None)  # white, for DVC's page
    config = spec.get("config", {})
    return spec | {"config": CONFIG | {key: CONFIG.get(key, {}) | own
                                       for key, own in config.items()}}


def script_json(value: object) -> str:
    """JSON that can lie in a script element whatever its texts hold: no `<` opens or closes any."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _filled(node: object, rows: list[dict[str, str]]) -> object:
    """The template with its placeholders filled; keys that hold others are left out, so that Vega
    takes its defaults."""
    if isinstance(node, dict):
        filled = {key: _filled(value, rows) for key, value in node.items()}
        return {key: value for key, value in filled.items() if not _is_placeholder(value)}
    if isinstance(node, list):
        return [_filled(value, rows) for value in node
                if not (isinstance(value, dict) and value.get("field") == "rev")]
    if node == "<DVC_METRIC_DATA>":
        return rows
    return node


def _is_placeholder(value: object) -> bool:
    return isinstance(value, str) and value.startswith("<DVC_")


def _bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script that leaves `window.vegaEmbed` behind
    (0.9 MB)."""
    script = vl_convert.javascript_bundle()
    return re.sub(r"<(?=/script|!--|script)", r"\\x3c", script, flags=re.IGNORECASE)


def _section(section: Section, charts: Mapping[str, dict], plots: Path) -> str:
    blocks = "\n".join(_block(block, charts, plots) for block in section.blocks)
    name = _slug(section.title)
    return (f'<section aria-labelledby="{name}">\n<h2 id="{name}">{_escape(section.title)}</h2>\n'
            f"{blocks}\n</section>")


def _block(block: Block, charts: Mapping[str, dict], plots: Path) -> str:
    match block:
        case Paragraph(parts):
            return f"<p>{_line(parts)}</p>"
        case Items(items):
            lines = "\n".join(f"<li>{_line(item)}</li>" for item in items)
            return f"<ul>\n{lines}\n</ul>"
        case Picture():
            return _picture(block, charts, plots)
        case Table():
            return _table(block)


def _picture(picture: Picture, charts: Mapping[str, dict], plots: Path) -> str:
    """A chart, or the picture itself. Room is kept for it, so that nothing moves when it comes."""
    name, text = PurePath(picture.file).stem, _escape(picture.text)
    svg = vl_convert.vegalite_to_svg(charts[name]) if name in charts else ""
    size = re.search(r'width="([\d.]+)" height="([\d.]+)"', svg)
    if size:  # none where a chart of nothing but undefined numbers has no end
        width, height = size.groups()
        inside = (f'<div class="chart" data-chart="{_escape(name)}" '
                  f'style="min-width:{width}px;min-height:{height}px"></div>')
    else:
        uri, width, height = _image(plots / picture.file)
        inside = f'<img src="{uri}" width="{width}" height="{height}" alt="{text}">'
    return (f'<figure><div class="scroll" role="region" tabindex="0" aria-label="{text}">{inside}'
            f"</div><figcaption>{text}</figcaption></figure>")


def _image(path: Path) -> tuple[str, int, int]:
    """A picture of the stage plot as a data URI, its width and height in pixels."""
    content = path.read_bytes()
    if path.suffix == ".png":
        kind, size = "png", struct.unpack(">II", content[16:24])  # of the header chunk
    else:
        kind = "svg+xml"
        points = re.search(rb'width="([\d.]+)pt" height="([\d.]+)pt"', content)
        size = [round(float(each) * 4 / 3) for each in points.groups()]
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}", *size


def _table(table: Table) -> str:
    filtered = table.sortable and len(table.rows) >= FILTER_FROM
    wide = {column for place, column in enumerate(table.columns) if column not in table.numbers
            and any(len(_text(row[place])) > LONG for row in table.rows)}
    head = "".join(_head(table, column, column in wide) for column in table.columns)
    rows = "\n".join(
        "<tr>" + "".join(
            _cell(cell, column in table.numbers, place == 0)
            for place, (column, cell) in enumerate(zip(table.columns, row, strict=True))) + "</tr>"
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


def _cell(cell: Inline, number: bool, first: bool) -> str:
    kind = ' class="number"' if number else ""
    value = ""
    if isinstance(cell, Number):
        value = f' data-value="{"" if cell.value is None else cell.value}"'
    tag, scope = ("th", ' scope="row"') if first else ("td", "")
    return f"<{tag}{scope}{kind}{value}>{_inline(cell)}</{tag}>"


def _text(cell: Inline) -> str:
    return cell if isinstance(cell, str) else cell.text


def _line(parts: tuple[Inline, ...]) -> str:
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
