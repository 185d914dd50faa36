"""A row for each cost that is drawn and each run, without the failed. What dominates a run has at
least its accuracy at no more cost, is better in one of them, and has the same test images."""

from unfreeze.expecting.costs import COSTS, Cost
from unfreeze.judging.cells import interval, number, yes
from unfreeze.judging.outcome import Outcome
from unfreeze.judging.runs import TrainedRun

HEADER = ("run", "cost", "text", "unit", "value", "accuracy", "low", "high", "dominated")


def rows(outcome: Outcome) -> list[tuple]:
    return [
        (run.name, name, cost.text, cost.unit, number(cost.of(run.cost)),
         *interval(outcome.intervals[run.name]["accuracy"]),
         yes(any(_dominates(rival, run, cost, outcome) for rival in outcome.finished)))
        for name, cost in COSTS.items() if cost.drawn for run in outcome.finished
    ]


def _dominates(rival: TrainedRun, run: TrainedRun, cost: Cost, outcome: Outcome) -> bool:
    price, rival_price = cost.of(run.cost), cost.of(rival.cost)
    accuracy, rival_accuracy = (outcome.intervals[name]["accuracy"].mean
                                for name in (run.name, rival.name))
    return (rival.test_set == run.test_set
            and rival_price <= price and rival_accuracy >= accuracy
            and (rival_price, rival_accuracy) != (price, accuracy))
