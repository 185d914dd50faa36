"""As of unfreeze.judging.tables.further, under the whole budget, with the seconds of training what
is not trained yet, one replicate after another."""

from unfreeze.judging.cells import number
from unfreeze.judging.outcome import Outcome

HEADER = ("knob", "number", "runs", "loss_now", "loss", "operations", "seconds")


def rows(outcome: Outcome) -> list[tuple]:
    found = outcome.measured
    return [(each.knob, each.number, " ".join(each.runs), number(each.loss_now),
             number(each.loss), number(each.operations), number(each.seconds))
            for each in found.further]
