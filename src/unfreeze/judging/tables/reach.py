"""One row: which difference in the study's score its claims could show, and what it would take to
show one of `worth`; none where no claim on a score of that unit is tested.

Medians over the comparisons that are tested: of the smallest difference that would be found in 80
of 100 such studies, and of the seeds that a difference of `worth` needs, from where the variance
over seeds is at its lower quartile to where it is at its upper one; empty where no number up to 100
would do.
"""

from statistics import median_high

from unfreeze.judging.cells import number, p_value
from unfreeze.judging.outcome import Outcome
from unfreeze.judging.planning import MOST, Range
from unfreeze.judging.verdicts import unit_of
from unfreeze.scoring.scores import SCORES

HEADER = ("difference", "unit", "level", "claims", "comparisons", "seeds", "images", "worth",
          "seeds_low", "seeds_high")


def rows(outcome: Outcome) -> list[tuple]:
    unit = unit_of(outcome.score)
    tested = {claim.claim: [finding for finding in claim.comparisons if finding.smallest]
              for claim in outcome.verdicts if claim.quantity in SCORES and claim.unit == unit}
    levels = [claim.level for claim in outcome.verdicts if claim.level and tested.get(claim.claim)]
    findings = [finding for each in tested.values() for finding in each]
    if not findings or not levels:
        return []
    needed = [finding.needed or Range(None, None) for finding in findings]
    low, high = (_within_reach(median_high(end or MOST + 1 for end in ends)) for ends in (
        [each.low for each in needed], [each.high for each in needed]))
    return [(number(median_high(finding.smallest for finding in findings)), unit,
             p_value(median_high(levels)), len([each for each in tested.values() if each]),
             len(findings), min(finding.seeds for finding in findings),
             min(finding.images for finding in findings), number(outcome.plan.worth), low, high)]


def _within_reach(seeds: int) -> int | None:
    return seeds if seeds <= MOST else None
