"""A row for each pair of classes, of the run whose mistakes are shown: images over all seeds, and
their share of the true class in percent."""

from unfreeze.judging.outcome import Outcome

HEADER = ("actual", "predicted", "images", "percent")


def rows(outcome: Outcome) -> list[tuple]:
    totals: dict[str, int] = {}
    for row in outcome.confusion:
        totals[row["actual"]] = totals.get(row["actual"], 0) + int(row["images"])
    return [
        (row["actual"], row["predicted"], row["images"],
         round(100 * int(row["images"]) / max(totals[row["actual"]], 1), 2))
        for row in outcome.confusion
    ]
