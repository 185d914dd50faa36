"""Predictions as text: CSV, or a line of JSON for each picture."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence

from unfreeze.using.predict import Predicted

DECIMALS = 6
FORMATS = ("csv", "jsonl")
# How what `text` gives starts, by which it is known; a list of pictures by another has no more than
# a path in common.
_TEXT = r'"(?:[^"\\]|\\.)*"'
START = re.compile(r"path,class,probability|"
                   rf'\{{"path": {_TEXT}, "class": {_TEXT}, "probability": ')


def text(predicted: Predicted, form: str, top: int) -> str:
    """All of them.

    Args:
        form: of FORMATS. top: how many classes are named of each picture, 1 to all.
    """
    return _csv(predicted, top) if form == "csv" else _jsonl(predicted, top)


def _top(predicted: Predicted, top: int) -> Iterator[list[tuple[str, float]]]:
    """(class, probability) of the likeliest classes, of each picture."""
    for row, order in zip(predicted.probabilities, predicted.order[:, :top], strict=True):
        yield [(predicted.classes[label], round(float(row[label]), DECIMALS)) for label in order]


def _labelled(predicted: Predicted) -> bool:
    return any(picture.label is not None for picture in predicted.pictures)


def _label(predicted: Predicted, label: int | None) -> str | None:
    return None if label is None else predicted.classes[label]


def _csv(predicted: Predicted, top: int) -> str:
    numbers: Sequence[str] = ["", *(f"_{place}" for place in range(2, top + 1))]
    columns = [f"{name}{number}" for number in numbers for name in ("class", "probability")]
    labelled = _labelled(predicted)
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(["path", *columns, *["label"] * labelled])
    for picture, best in zip(predicted.pictures, _top(predicted, top), strict=True):
        cells = [cell for name, share in best for cell in (name, f"{share:.{DECIMALS}f}")]
        writer.writerow([picture.path, *cells,
                         *[_label(predicted, picture.label)] * labelled])
    return content.getvalue()


def _jsonl(predicted: Predicted, top: int) -> str:
    lines, labelled = [], _labelled(predicted)
    for picture, best in zip(predicted.pictures, _top(predicted, top), strict=True):
        row = {"path": picture.path, "class": best[0][0], "probability": best[0][1]}
        if top > 1:
            row["top"] = [{"class": name, "probability": share} for name, share in best]
        if labelled:
            row["label"] = _label(predicted, picture.label)
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    return "".join(lines)
