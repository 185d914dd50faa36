"""A row for each run under the budget, best accuracy first, failed runs last; costs in the units of
expecting.costs."""

from unfreeze.expecting.costs import COSTS
from unfreeze.judging.cells import interval, number, p_value, yes
from unfreeze.judging.outcome import Outcome

_COSTS = {name: cost for name, cost in COSTS.items() if cost.drawn}
HEADER = ("run", "accuracy", "low", "high", "within_budget", "over", "difference", "difference_low",
          "difference_high", "p", "tied", "best", "recommended", *_COSTS, "note")


def rows(outcome: Outcome) -> list[tuple]:
    return [
        (candidate.run, *interval(candidate.accuracy), yes(not candidate.over), candidate.over,
         *interval(candidate.difference), p_value(candidate.p), yes(candidate.tied),
         yes(candidate.best), yes(candidate.recommended),
         *(number(cost.of(candidate.cost)) for cost in _COSTS.values()), candidate.note)
        for candidate in outcome.candidates
    ]
