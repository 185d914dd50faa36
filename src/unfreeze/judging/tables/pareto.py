"""A row for each counted cost that is drawn and each run, without the failed. What dominates a run
has at least its score at no more cost, is better in one of them, and has the same test images.
_made/measured/pareto.csv has the measured costs."""

from unfreeze.expecting.costs import COSTS, Cost
from unfreeze.judging.cells import interval, number, yes
from unfreeze.judging.outcome import Outcome
from unfreeze.judging.runs import TrainedRun
from unfreeze.scoring.scores import SCORES

HEADER = ("run", "cost", "text", "unit", "value", "score", "low", "high", "dominated")


def rows(outcome: Outcome) -> list[tuple]:
    return rows_of(outcome, measured=False)


def rows_of(outcome: Outcome, measured: bool) -> list[tuple]:
    """Of the measured costs, or of the others; those that are 0 for every run are left out."""
    runs = [run for run in outcome.finished if outcome.score in outcome.intervals[run.name]]
    return [
        (run.name, name, cost.text, cost.unit, number(cost.of(run.cost)),
         *interval(outcome.intervals[run.name][outcome.score]),
         yes(any(_dominates(rival, run, cost, outcome) for rival in runs)))
        for name, cost in COSTS.items() if cost.drawn and cost.measured == measured
        and any(cost.of(run.cost) for run in runs) for run in runs
    ]


def _dominates(rival: TrainedRun, run: TrainedRun, cost: Cost, outcome: Outcome) -> bool:
    price, rival_price = cost.of(run.cost), cost.of(rival.cost)
    sign = 1 if SCORES[outcome.score].better == "higher" else -1
    score, rival_score = (sign * outcome.intervals[name][outcome.score].mean
                          for name in (run.name, rival.name))
    return (rival.test_set == run.test_set
            and rival_price <= price and rival_score >= score
            and (rival_price, rival_score) != (price, score))
