"""What the next look is for.

A claim that is decided needs no more seeds, nor does one that is hopeless: as far as can be told,
it would hardly be decided with the seeds of the last look. Of a claim that is open, those
comparisons need them that do not hold by themselves yet. To find the best run, the better half on
validation images goes on from look to look (successive halving: Karnin et al. 2013; Jamieson and
Talwalkar 2016, https://arxiv.org/abs/1502.07943), until the recommended run is expected to lose no
more than the study's margin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from unfreeze.expecting import claims
from unfreeze.expecting.claims import Comparison
from unfreeze.judging import estimates
from unfreeze.judging.estimates import Sum
from unfreeze.judging.outcome import Outcome
from unfreeze.judging.statistics import Effect
from unfreeze.judging.verdicts import DECIDED, HOLDS, OPEN, Verdict
from unfreeze.params.race import ALPHAS, SEEDS, Look, Race
from unfreeze.scoring.scores import SCORES

# Chance of being decided at the last look below which a claim is given up. Simulated
# (docs/race.md): so a race decides 0.1 to 0.3 claims more than the same trainings spent evenly, and
# takes 39 of them where nothing differs; at 0.1 that takes 63.
HOPELESS = 0.3
_MANY = 1e6  # degrees of freedom of a variance that is known


@dataclass(frozen=True)
class Judged:
    """What a look has shown.

    Attributes:
        decided: {claim: verdict}, by this look. hopeless: given up after it.
        open: {claim: its comparisons that need more seeds}.
        contest: runs that may be the best and are worth more seeds; none where that is settled.
        settled: why no run is; "" where some are.
    """

    decided: Mapping[str, str]
    hopeless: tuple[str, ...]
    open: Mapping[str, Sequence[Comparison]]
    contest: tuple[str, ...]
    settled: str

    @property
    def runs(self) -> list[str]:
        """Those that more seeds are wanted of."""
        named = [run for comparisons in self.open.values() for comparison in comparisons
                 for run in comparison.coefficients]
        return list(dict.fromkeys([*named, *self.contest]))


def judged(outcome: Outcome, race: Race) -> Judged:
    """What the look of now has shown.

    Args:
        outcome: of the study, judged at this look.
    """
    tested = [verdict for verdict in outcome.verdicts if verdict.p is not None]
    decided = {verdict.claim: verdict.verdict for verdict in tested
               if verdict.verdict in DECIDED and verdict.claim not in race.decided}
    left = {verdict.claim: _left(verdict, outcome) for verdict in tested
            if verdict.verdict == OPEN and verdict.claim not in race.hopeless}
    chances = _chances(outcome, race, {verdict.claim: verdict for verdict in tested}, left)
    hopeless = tuple(claim for claim in left if chances[claim] < HOPELESS)
    contest, settled = _contest(outcome, race)
    return Judged(decided, hopeless,
                  {claim: comparisons for claim, comparisons in left.items()
                   if claim not in hopeless}, contest, settled)


def following(found: Judged, race: Race) -> Look | None:
    """The look after this one; None where nothing is left to decide, or no look."""
    if not found.runs or len(race.looks) == len(SEEDS):
        return None
    return Look(SEEDS[len(race.looks)], tuple(found.runs), found.decided, found.hopeless)


def _left(verdict: Verdict, outcome: Outcome) -> list[Comparison]:
    """The comparisons of an open claim that do not hold yet."""
    names = [*outcome.runs, *outcome.plan.not_run]
    comparisons = claims.parse(verdict.claim, names).comparisons
    return [comparison for comparison, finding in zip(
        comparisons, verdict.comparisons, strict=True) if finding.verdict != HOLDS]


def _chances(outcome: Outcome, race: Race, verdicts: Mapping[str, Verdict],
             left: Mapping[str, Sequence[Comparison]]) -> dict[str, float]:
    """Of each claim that is open, how probably it would be decided at the last look."""
    pairs = [(claim, comparison) for claim, comparisons in left.items()
             for comparison in comparisons]
    effects = estimates.effects(outcome.runs, [
        Sum(verdicts[claim].quantity, comparison.coefficients, comparison.constant)
        for claim, comparison in pairs])
    chances: dict[str, list[tuple[float, float]]] = {claim: [] for claim in left}
    for (claim, _), effect in zip(pairs, effects, strict=True):
        level = verdicts[claim].level * ALPHAS[-1] / race.alpha
        chances[claim].append(chance(effect, SEEDS[-1], level))
    # It holds at most as probably as its weakest comparison, and one is enough to contradict it.
    return {claim: max(min(above for above, _ in each), max(below for _, below in each))
            for claim, each in chances.items()}


def chance(effect: Effect, seeds: int, level: float) -> tuple[float, float]:
    """How probably a two-sided test at `level` finds an effect above 0, and below, once it rests on
    so many seeds, given what is known of it now (predictive power: Spiegelhalter et al. 1986,
    https://doi.org/10.1016/0197-2456(86)90003-6, with a flat prior)."""
    over = min(1.0, effect.seeds / seeds)
    now = effect.image_variance + effect.seed_variance
    images = effect.image_variance - effect.rest_variance * (1 - over)
    then = images + effect.seed_variance * over
    degrees = effect.degrees + seeds - effect.seeds
    if effect.seed_variance:
        degrees *= (then / (effect.seed_variance * over))**2
    reach = special.stdtrit(min(degrees, _MANY), 1 - level / 2) * np.sqrt(then)
    moves = np.sqrt(max(now - then, 1e-12))
    return (float(special.ndtr((effect.mean - reach) / moves)),
            float(special.ndtr((-effect.mean - reach) / moves)))


def _contest(outcome: Outcome, race: Race) -> tuple[tuple[str, ...], str]:
    """The runs that may be the best and get more seeds, and why none does."""
    recommendation = outcome.recommendation
    chosen = recommendation.recommended if recommendation else None
    if chosen is None or chosen.loss is None:
        return (), "no run can be recommended"
    if chosen.loss <= recommendation.margin:
        return (), (f"{chosen.run} is expected to lose no more than the margin against the best "
                    "run")
    look = race.looks[-1]
    still_in = [each.run for each in recommendation.candidates
                if not each.over and not each.note and each.run in look.runs]
    finals = {run: outcome.runs[run].finals for run in still_in}
    if not all(finals.values()):
        return (), ("not every run has validation images of its tested models, and test images do "
                    "not choose")
    sign = 1 if SCORES[outcome.score].better == "higher" else -1
    most = -(-len(outcome.runs) // 2**len(race.looks))
    ranked = sorted(still_in, key=lambda run: -sign * np.mean(
        [values[outcome.score].mean() for values in finals[run].values()]))[:most]
    return (tuple(ranked), "") if len(ranked) > 1 else ((), "halving has left one run")
