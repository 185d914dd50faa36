"""As of unfreeze.judging.tables.pareto: the measured costs that are drawn."""

from unfreeze.judging.outcome import Outcome
from unfreeze.judging.tables import pareto

HEADER = pareto.HEADER


def rows(outcome: Outcome) -> list[tuple]:
    return pareto.rows_of(outcome, measured=True)
