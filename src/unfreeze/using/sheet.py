"""Pictures on one page, the least certain first: what to look at before predictions are believed.

The page holds the pictures, so it shows what they show to whoever gets it. It loads nothing.
"""

import base64
import html
from pathlib import Path

from unfreeze.errors import UserError
from unfreeze.using.pictures import THUMBNAIL
from unfreeze.using.predict import Predicted
from unfreeze.words import count, fixed

START = "<!doctype html>\n<!-- a contact sheet of unfreeze predict -->"

_STYLE = f"""
:root {{ --page: #fff; --ink: #1b1f24; --soft: #57606a; --line: #d5dae0; --bad: #b84a00;
  color-scheme: light dark; }}
@media (prefers-color-scheme: dark) {{ :root {{ --page: #14171b; --ink: #e4e7ea; --soft: #9aa4ae;
  --line: #343b43; --bad: #f2854b; }} }}
body {{ margin: 0 auto; max-width: 80rem; padding: 1rem; background: var(--page);
  color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }}
h1 {{ font-size: 1.4rem; margin: .2rem 0; }}
p {{ margin: .3rem 0 1rem; max-width: 75ch; }}
ol {{ display: grid; grid-template-columns: repeat(auto-fill, minmax({THUMBNAIL}px, 1fr));
  gap: .8rem; padding: 0; list-style: none; }}
li {{ border: 1px solid var(--line); border-radius: 6px; padding: .5rem; overflow-wrap: anywhere; }}
li.wrong {{ border-color: var(--bad); border-width: 2px; }}
img {{ display: block; height: {THUMBNAIL}px; width: 100%; object-fit: contain; }}
b {{ display: block; margin-top: .3rem; }}
.wrong i {{ color: var(--bad); font-style: normal; }}
small {{ color: var(--soft); display: block; }}
"""


def page(predicted: Predicted) -> str:
    """The whole page, of pictures with thumbnails."""
    confidence = predicted.probabilities.max(axis=1)
    order = confidence.argsort(kind="stable")
    cells = "\n".join(_cell(predicted, row) for row in order)
    problems = "".join(f"<li>{_escape(line)}</li>" for line in predicted.problems)
    unread = f"<h2>Not read</h2>\n<ul>{problems}</ul>" if problems else ""
    models = count(len(predicted.seeds), "model")
    wrong = sum(_is_wrong(predicted, row) for row in range(len(predicted.pictures)))
    known = sum(picture.label is not None for picture in predicted.pictures)
    said = (f" Of {known:,} whose class is known, {wrong:,} "
            f"{'is' if wrong == 1 else 'are'} named otherwise, with a coloured border." if known
            else "")
    return f"""{START}
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{_escape(predicted.run)}: {count(len(predicted.pictures), "picture")}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{count(len(predicted.pictures), "picture")} as {_escape(predicted.run)} names them</h1>
<p>The least certain first, by {models}.{said} This page holds the pictures themselves.</p>
<ol>
{cells}
</ol>
{unread}
</body>
</html>
"""


def _is_wrong(predicted: Predicted, row: int) -> bool:
    label = predicted.pictures[row].label
    return label is not None and label != predicted.order[row, 0]


def _cell(predicted: Predicted, row: int) -> str:
    picture, classes = predicted.pictures[row], predicted.classes
    first, second = predicted.order[row, :2]
    image = base64.b64encode(picture.thumbnail).decode()
    wrong = _is_wrong(predicted, row)
    actual = f" <i>is {_escape(classes[picture.label])}</i>" if wrong else ""
    name = _escape(picture.path)
    return (f'<li{" class=wrong" if wrong else ""}>'
            f'<img src="data:image/jpeg;base64,{image}" alt="{name}" loading="lazy">'
            f"<b>{_escape(classes[first])} {_share(predicted, row, first)}{actual}</b>"
            f"<small>then {_escape(classes[second])} {_share(predicted, row, second)}</small>"
            f"<small>{name}</small></li>")


def _share(predicted: Predicted, row: int, label: int) -> str:
    return f"{fixed(100 * predicted.probabilities[row, label], 1)} %"


def _escape(text: object) -> str:
    return html.escape(str(text), quote=True)


def check_name(path: Path) -> None:
    """May a sheet be written there?

    Raises:
        UserError: its name does not end as that of a page.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--sheet {path}: is a page, so its name must end in .html")
