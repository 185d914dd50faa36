"""A row for each number of seeds: what more of them would bring. `loss_now` and `loss` are expected
of the run that looks best, now and then; runs have spaces between."""

from unfreeze.judging.cells import number
from unfreeze.judging.outcome import Outcome

HEADER = ("knob", "number", "runs", "loss_now", "loss", "operations")


def rows(outcome: Outcome) -> list[tuple]:
    found = outcome.recommendation
    return [(each.knob, each.number, " ".join(each.runs), number(each.loss_now),
             number(each.loss), number(each.operations)) for each in found.further]
