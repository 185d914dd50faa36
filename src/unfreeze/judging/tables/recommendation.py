"""A row for each run under the counted part of the budget, best first by its posterior mean, runs
that do not compete last; counted costs in the units of expecting.costs. The fields of
budget.Candidate; estimates with the ends of their 95 % intervals."""

from unfreeze.expecting.costs import COSTS
from unfreeze.judging.budget import Candidate, Recommendation
from unfreeze.judging.cells import interval, number, yes
from unfreeze.judging.outcome import Outcome

_COSTS = tuple(name for name, cost in COSTS.items() if cost.drawn and not cost.measured)


def header(costs: tuple[str, ...]) -> tuple[str, ...]:
    """Of `rows_of`."""
    return ("run", "score", "low", "high", "within_budget", "over", "posterior", "posterior_low",
            "posterior_high", "expected", "expected_low", "expected_high", "difference",
            "difference_low", "difference_high", "behind", "loss", "chance", "tied", "enough",
            "best", "recommended", *costs, "note")


HEADER = header(_COSTS)


def rows(outcome: Outcome) -> list[tuple]:
    return rows_of(outcome.recommendation, _COSTS)


def rows_of(recommendation: Recommendation, costs: tuple[str, ...]) -> list[tuple]:
    return [_row(each, costs) for each in recommendation.candidates]


def _row(each: Candidate, costs: tuple[str, ...]) -> tuple:
    answers = (each.tied, each.enough, each.best, each.recommended)
    return (each.run, *interval(each.score), yes(not each.over), each.over,
            *interval(each.posterior), *interval(each.expected), *interval(each.difference),
            number(each.behind), number(each.loss), number(each.chance), *map(yes, answers),
            *(number(COSTS[name].of(each.cost)) for name in costs), each.note)
