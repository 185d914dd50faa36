"""One row: what the recommendation rests on; none where no run competes. The fields of
budget.Recommendation."""

from unfreeze.judging.cells import number, yes
from unfreeze.judging.outcome import Outcome

HEADER = ("score", "margin", "chosen_by", "why", "seeds", "images", "knob", "spread", "here")


def rows(outcome: Outcome) -> list[tuple]:
    found = outcome.recommendation
    if not found.chosen_by:
        return []
    return [(found.score, number(found.margin), found.chosen_by, found.why, found.seeds,
             found.images, found.knob, number(found.spread), yes(found.here))]
