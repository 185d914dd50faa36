"""A row for each score and cost: what it is called in words, its unit, and which values are better;
with what claims may name, whether or not a run has it."""

from unfreeze.expecting.costs import COSTS
from unfreeze.judging.outcome import Outcome
from unfreeze.scoring.scores import SCORES

HEADER = ("name", "kind", "text", "unit", "better")


def rows(outcome: Outcome) -> list[tuple]:
    return [
        *((name, "score", score.text, score.unit, score.better) for name, score in SCORES.items()),
        *((name, "cost", cost.text, cost.unit, "lower") for name, cost in COSTS.items())]
