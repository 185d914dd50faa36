"""As of unfreeze.judging.tables.recommendation, under the whole budget, with all costs that are
drawn or measured."""

from unfreeze.expecting.costs import COSTS
from unfreeze.judging.outcome import Outcome
from unfreeze.judging.tables import recommendation

_COSTS = tuple(name for name, cost in COSTS.items() if cost.drawn or cost.measured)
HEADER = recommendation.header(_COSTS)


def rows(outcome: Outcome) -> list[tuple]:
    return recommendation.rows_of(outcome.measured, _COSTS)
