"""Each claim with its verdict; one of several comparisons is followed by these."""

import re

from unfreeze.reporting import cells
from unfreeze.reporting.document import (
    Block,
    Cell,
    Code,
    Number,
    Parts,
    Picture,
    Section,
    Table,
    Verdict,
    line,
    listed,
    with_code,
)
from unfreeze.reporting.sections import common
from unfreeze.reporting.sections.common import NOT_SEARCHED
from unfreeze.reporting.study import Rows, Study
from unfreeze.words import count, interval, quantity

Row = dict[str, str]
COLUMNS = ("claim", "verdict", "effect", "95 % interval", "all at once", "p", "remarks", "settings")
NUMBERS = frozenset(COLUMNS[2:6])
EMPTY = Number(None, "")


def section(study: Study) -> Section:
    rows = study.rows["claims"]
    if not rows:
        return Section("Claims", [line("None are made: ", Code("claims:"), " in params.yaml is "
                                       "empty.")])
    both = (" The first interval is for the one comparison, the second holds for all of them at "
            "once." if any(row["wide_low"] for row in rows) else "")
    tested = [line("An effect above 0 is as claimed. p is corrected for all claims that are "
                   f"tested; costs are counted, not tested, and have none.{both}")]
    return Section("Claims", [_counts(rows), *tested, table("claims", rows),
                              *_unsearched(study), Picture.chart("claims")])


def table(name: str, rows: Rows) -> Table:
    """A line for each claim, and one for each of its comparisons where there are several; without
    the columns in which there is nothing.

    Args:
        rows: of a table claims.csv.
    """
    lines = [line for of_claim in _by_claim(rows) for line in _lines(of_claim)]
    told = [place for place, column in enumerate(COLUMNS)
            if any(line[place] not in ("", (), NOT_SEARCHED, EMPTY, cells.NONE) for line in lines)]
    columns = tuple(COLUMNS[place] for place in told)
    return Table(name, columns, [tuple(line[place] for place in told) for line in lines],
                 NUMBERS & set(columns))


def _by_claim(rows: Rows) -> list[Rows]:
    by_claim: dict[str, Rows] = {}
    for row in rows:
        by_claim.setdefault(row["number"], []).append(row)
    return list(by_claim.values())


def _counts(rows: Rows) -> Block:
    verdicts = [of_claim[0]["claim_verdict"] for of_claim in _by_claim(rows)]
    counts = [f"{verdicts.count(verdict)} × {verdict}" for verdict in dict.fromkeys(verdicts)]
    return line(f"{count(len(verdicts), 'claim')}: ", *listed(counts), ".")


def _unsearched(study: Study) -> list[Block]:
    if common.searched(study):
        return []
    return [line("Not searched: each verdict is about its runs at the one setting that they have "
                 "here, and may be another at others.")]


def _lines(rows: Rows) -> list[tuple[Cell, ...]]:
    """Of a claim: one line, or one and another for each of its comparisons. Those that could not be
    made for one reason share a line."""
    first = rows[0]
    reasons = {(row["verdict"], row["why"]) for row in rows}
    alone = len(rows) == 1 or (len(reasons) == 1 and not any(row["effect"] for row in rows))
    effect = _effect(first) if alone else (EMPTY,) * 3
    of_all = f"all {len(rows)} comparisons: " if alone and len(rows) > 1 else ""
    claim = (Code(first["claim"]), Verdict(first["claim_verdict"]), *effect,
             cells.p_value(first["p_corrected"]),
             _remarks(first["advice"], of_all + first["why"] if alone else "", first["note"]),
             _settings(first["settings"]))
    if alone:
        return [claim]
    return [claim, *((f"↳ {text}", Verdict(row["verdict"]), *_effect(row), EMPTY,
                      _remarks(row["why"]), "") for text, row in _comparisons(rows))]


def _settings(text: str) -> str:
    """`base: lr 0.003 of 4 tried; lora: not searched`, in short where none was searched, or all as
    `lr, of 4 tried: base 0.003, lora 0.001`."""
    each = text.split("; ")
    if all(part.endswith(f": {NOT_SEARCHED}") for part in each):
        return NOT_SEARCHED
    found = [re.fullmatch(r"([\w-]+): (\w+) (\S+) of (\d+) tried", part) for part in each]
    if len(each) > 1 and all(found) and len({(match[2], match[4]) for match in found}) == 1:
        values = ", ".join(f"{match[1]} {match[3]}" for match in found)
        return f"{found[0][2]}, of {found[0][4]} tried: {values}"
    return text


def _comparisons(rows: Rows) -> list[tuple[str, Row]]:
    """(what is compared, its row), in their order; of those that could not be made for one reason
    how many there are, and one row."""
    obstacles: dict[tuple[str, str], Rows] = {}
    for row in rows:
        if not row["effect"]:
            obstacles.setdefault((row["verdict"], row["why"]), []).append(row)
    shown = []
    for row in rows:
        alike = obstacles.get((row["verdict"], row["why"]), [row]) if not row["effect"] else [row]
        if row is alike[0]:
            text = row["comparison"] if len(alike) == 1 else f"{len(alike)} comparisons"
            shown.append((text, row))
    return shown


def _effect(row: Row) -> tuple[Number, Number, Number]:
    """Effect, its interval, and that for all at once. Costs that are counted have no interval, what
    was not computed has nothing."""
    if not row["effect"]:
        return cells.NONE, cells.NONE, cells.NONE
    value, unit = float(row["effect"]), row["unit"]
    return (Number(value, quantity(value, unit, sign=True)),
            *(_interval(row[f"{which}low"], row[f"{which}high"], unit)
              for which in ("", "wide_")))


def _interval(low: str, high: str, unit: str) -> Number:
    if not low:
        return cells.NONE
    return Number(float(low), interval(float(low), float(high), unit, sign=True))


def _remarks(advice: str, why: str = "", note: str = "") -> Parts:
    texts = [(text,) for text in (advice, why) if text]
    if note:
        texts.append(("note: ", *with_code(note)))
    return tuple(part for number, parts in enumerate(texts)
                 for part in ((("; ",) if number else ()) + parts))
