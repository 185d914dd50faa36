"""A row a model that `rank` lists: the seconds that its features and each score took; of the
processor where there is no GPU."""

from unfreeze.judging.outcome import Outcome
from unfreeze.ranking import table

HEADER = ("model", *table.TIMED)


def rows(outcome: Outcome) -> list[tuple]:
    return [tuple(row[column] or None for column in HEADER) for row in outcome.ranked_seconds]
