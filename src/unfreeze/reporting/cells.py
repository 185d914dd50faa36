"""Numbers of the tables in plots/tables/ (texts, "" for none) as cells of a report's tables."""

from collections.abc import Mapping

from unfreeze import words
from unfreeze.reporting.document import Number

NONE = Number(None, "-")


def number(text: float | str, decimals: int = 0, sign: bool = False) -> Number:
    if text == "":
        return NONE
    value = float(text)
    return Number(value, words.fixed(value, decimals, sign))


def interval_text(row: Mapping[str, str], decimals: int) -> str:
    """`66.8 to 70.5`; `-` where there is none.

    Args:
        row: with `low` and `high`.
    """
    if not row["low"]:
        return "-"
    return " to ".join(words.fixed(float(row[end]), decimals) for end in ("low", "high"))


def interval(row: Mapping[str, str], decimals: int, mark: str = "") -> Number:
    """The interval of a row, sorted by where it begins.

    Args:
        mark: what follows it.
    """
    return Number(float(row["low"]) if row["low"] else None, interval_text(row, decimals) + mark)


def decimals(unit: str) -> int:
    """Of a score in a column."""
    return 1 if unit in ("%", "points") else 3


def p_value(text: str) -> Number:
    return Number(float(text), words.p_value(float(text))) if text else NONE
