"""Each claim with its verdict; one of several comparisons is followed by these."""

from unfreeze.reporting import cells
from unfreeze.reporting.document import (
    Code,
    Inline,
    Number,
    Picture,
    Section,
    Table,
    Verdict,
    line,
    listed,
)
from unfreeze.reporting.study import Study
from unfreeze.words import count, interval, quantity

Row = dict[str, str]
EMPTY = Number(None, "")


def section(study: Study) -> Section:
    by_claim: dict[str, list[Row]] = {}
    for row in study.rows["claims"]:
        by_claim.setdefault(row["number"], []).append(row)
    if not by_claim:
        return Section("Claims", [line("None are made: `claims:` in params.yaml is empty.")])
    verdicts = [rows[0]["claim_verdict"] for rows in by_claim.values()]
    counts = [f"{verdicts.count(verdict)} × {verdict}" for verdict in dict.fromkeys(verdicts)]
    return Section("Claims", [
        line(f"{count(len(verdicts), 'claim')}: ", *listed(counts), ". An effect above 0 is as "
             "claimed. p is corrected for the number of claims (Holm); what is counted or measured "
             "once has none."),
        Table("claims", ("claim", "verdict", "effect", "95 % interval", "p", "remarks"),
              [line for rows in by_claim.values() for line in _lines(rows)],
              frozenset({"effect", "95 % interval", "p"})),
        Picture.chart("claims"),
    ])


def _lines(rows: list[Row]) -> list[tuple[Inline, ...]]:
    """Of a claim: one line, or one and another for each of its comparisons."""
    first = rows[0]
    several = len(rows) > 1
    effect = (EMPTY, EMPTY) if several else _effect(first)
    note = first["note"] and f"note: {first['note']}"
    claim = (Code(first["claim"]), Verdict(first["claim_verdict"]), *effect,
             cells.p_value(first["p_corrected"]),
             _remarks(first["advice"], "" if several else first["why"], note))
    return [claim, *((f"↳ {row['comparison']}", Verdict(row["verdict"]), *_effect(row), EMPTY,
                      _remarks(row["why"])) for row in rows if several)]


def _effect(row: Row) -> tuple[Number, Number]:
    """Effect and interval. Costs that are counted have no interval, what was not computed has
    neither."""
    if not row["effect"]:
        return cells.NONE, cells.NONE
    value = float(row["effect"])
    effect = Number(value, quantity(value, row["unit"], sign=True))
    if not row["low"]:
        return effect, cells.NONE
    low, high = float(row["low"]), float(row["high"])
    return effect, Number(low, interval(low, high, row["unit"], sign=True))


def _remarks(*texts: str) -> str:
    return "; ".join(text for text in texts if text)
