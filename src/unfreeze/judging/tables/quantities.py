"""A row for each score and cost: what it is called in words, its unit, which values are better, and
whether it is measured; with what claims may name, whether or not a run has it."""

from unfreeze.expecting.costs import COSTS
from unfreeze.judging.cells import yes
from unfreeze.judging.outcome import Outcome
from unfreeze.scoring.scores import SCORES

HEADER = ("name", "kind", "text", "unit", "better", "measured")


def rows(outcome: Outcome) -> list[tuple]:
    return [
        *((name, "score", score.text, score.unit, score.better, yes(False))
          for name, score in SCORES.items()),
        *((name, "cost", cost.text, cost.unit, "lower", yes(cost.measured))
          for name, cost in COSTS.items())]
