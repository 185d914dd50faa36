"""Claims held against what was found: holds, contradicted, or not distinguishable.

Scores are tested. A claim of several comparisons holds only if all of them do, so the largest of
their one-sided p-values is its own (an intersection-union test: Berger 1982,
https://doi.org/10.1080/00401706.1982.10487790); it is contradicted if any of them is, which K
comparisons have K chances of (Bonferroni). The smaller of the two, doubled, is the claim's p, and
a correction makes it that of one among all claims that are tested (correction.py): in at most 5 of
100 studies is any verdict wrong that says more than "not distinguishable"; docs/verdicts.md has how
often it was in simulated ones. Where nothing is known of other seeds, a verdict is one for these
models and says so.

A comparison that cannot be made (its run was not run, or failed, or saw other images) leaves the
others of its claim, which are judged as if they were the claim. They may contradict it; nothing
makes it hold.

Costs are not tested. Those that are counted are compared as they are. Those that are measured are
measured once a run, so what differs by less than NOISE is not distinguishable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from unfreeze import words
from unfreeze.expecting import claims
from unfreeze.expecting.claims import Comparison
from unfreeze.expecting.costs import COSTS, unlike
from unfreeze.judging import advice, correction, planning, statistics
from unfreeze.judging.estimates import Sum, samples
from unfreeze.judging.planning import Range
from unfreeze.judging.runs import TrainedRun, common_seeds
from unfreeze.judging.statistics import Effect, Sample
from unfreeze.params import plan
from unfreeze.scoring.scores import SCORES

HOLDS, CONTRADICTED, OPEN = "holds", "contradicted", "not distinguishable"
HOLDS_HERE, CONTRADICTED_HERE = f"{HOLDS} for these models", f"{CONTRADICTED} for these models"
NOT_COMPARABLE, NOT_COMPUTED = "not comparable", "not computed"
DECIDED = HOLDS, CONTRADICTED, HOLDS_HERE, CONTRADICTED_HERE
ALPHA = 0.05
NOISE = 0.1  # of the larger of two measured costs


@dataclass(frozen=True)
class Finding:
    """One comparison of a claim.

    Attributes:
        text: what is claimed.
        verdict: on it alone, corrected as if it were its whole claim. Where a claim holds all its
            comparisons do, where one is contradicted at least one is.
        effect: above 0 where it is as claimed, in the unit of its claim.
        low, high: 95 % interval; None for costs.
        wide_low, wide_high: simultaneous 95 % interval: those of all comparisons that the study
            tests hold the truth in 95 of 100 studies. It leaves out 0 where the verdict says more
            than OPEN, and only there. None for costs.
        p: two-sided, not corrected; None for costs.
        seeds, images: that it was tested on; None for costs.
        smallest: the effect that a study such as this one would have found in 80 of 100 cases, at
            the level at which the claim is tested; None for costs.
        needed: seeds that would show a difference of `worth`; None where no number up to
            planning.MOST does, or the score has another unit.
        why: of a verdict without a test, or what the interval leaves out; "" for nothing to say.
    """

    text: str
    verdict: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    wide_low: float | None = None
    wide_high: float | None = None
    p: float | None = None
    seeds: int | None = None
    images: int | None = None
    smallest: float | None = None
    needed: Range | None = None
    why: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes:
        claim, note: as in params.yaml.
        quantity, unit: of what is compared.
        verdict: one of DECIDED, OPEN, NOT_COMPARABLE or NOT_COMPUTED.
        p, p_corrected: two-sided, of its comparisons that were tested; None where none was, or
            where the claim's verdict does not rest on them (NOT_COMPARABLE, NOT_COMPUTED).
        level: p at or below which it is decided, given what else is; None where p is.
        comparisons: a finding for each.
        advice: what would decide it; "" where it is decided, cannot be, or nothing can be said.
        settings: {run: at which settings it was made, "lr 0.003 of 4 tried"} of its runs.
    """

    claim: str
    note: str
    quantity: str
    unit: str
    verdict: str
    p: float | None
    p_corrected: float | None
    comparisons: tuple[Finding, ...]
    advice: str
    level: float | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


def judge(claimed: Sequence[plan.Claim], runs: Mapping[str, TrainedRun],
          not_run: Mapping[str, plan.NotRun], alpha: float = ALPHA,
          decided: Mapping[str, str] = MappingProxyType({}), worth: float = 2.0,
          score: str = "accuracy") -> list[Verdict]:
    """A verdict for each claim, in the order given.

    Args:
        runs: all runs of the study; those that no claim names tell about the spread over seeds.
        alpha: the chance of any wrong verdict, in this look where there are several.
        decided: {claim: verdict} of earlier looks, which stand and leave the correction to the
            claims that are open (group-sequential Holm: Tamhane et al. 2021,
            https://doi.org/10.1002/sim.9128, with an alpha for each look).
        worth: the difference that planning is for, in the unit of `score`.
    """
    cases = _sampled([_case(claim, runs, not_run) for claim in claimed], runs)
    family = _Family([case for case in cases if case.samples], alpha, decided)
    return [_judged(case, family, runs,
                    worth if unit_of(case.quantity) == unit_of(score) else None) for case in cases]


@dataclass(frozen=True)
class _Part:
    """A comparison of a claim.

    Attributes:
        obstacle: the finding where it cannot be made.
        sample: where it is tested.
    """

    comparison: Comparison
    obstacle: Finding | None
    sample: Sample | None = None


@dataclass(frozen=True)
class _Case:
    """A claim, and what is known of its comparisons."""

    claim: plan.Claim
    quantity: str
    parts: tuple[_Part, ...]

    @property
    def clear(self) -> list[_Part]:
        """The comparisons that can be made."""
        return [part for part in self.parts if not part.obstacle]

    @property
    def samples(self) -> list[Sample]:
        """Of the comparisons that are tested."""
        return [part.sample for part in self.parts if part.sample]

    @property
    def effects(self) -> list[Effect]:
        return [sample.effect for sample in self.samples]

    @property
    def here(self) -> bool:
        """Whether what is found is about the trained models alone."""
        return any(effect.here for effect in self.effects)

    @property
    def p_holds(self) -> float:
        """One-sided, of the hypothesis that not all effects are above 0."""
        return max(effect.p_above for effect in self.effects)

    @property
    def p_contradicted(self) -> float:
        """One-sided, of the hypothesis that no effect is below 0."""
        return min(1.0, len(self.effects) * min(effect.p_below for effect in self.effects))

    @property
    def p(self) -> float:
        return min(1.0, 2 * min(self.p_holds, self.p_contradicted))

    def null(self) -> tuple[np.ndarray, np.ndarray]:
        """Joint draws, (B,) each, where nothing differs: of p (whether a claim holds rests on its
        weakest comparison), and of the two-sided p of its clearest one, times their number."""
        ranks = np.stack([sample.deviations.ranks if sample.deviations else
                          np.full(statistics.RESAMPLES, 0.5) for sample in self.samples], axis=1)
        weakest = int(np.argmax([effect.p_above for effect in self.effects]))
        below = len(self.effects) * (1 - ranks).min(axis=1)
        above = len(self.effects) * ranks.min(axis=1)
        return (np.minimum(1, 2 * np.minimum(ranks[:, weakest], below)),
                np.minimum(1, 2 * np.minimum(above, below)))


class _Family:
    """The claims that are tested, which one correction is for.

    Attributes:
        alpha, decided: of `judge`.
        corrected: {claim: its p, corrected}.
        wide: the level of all comparisons at once, for a claim of one.
    """

    def __init__(self, cases: list[_Case], alpha: float, decided: Mapping[str, str]) -> None:
        self.alpha, self.decided = alpha, decided
        nulls = [case.null() for case in cases]
        self._null = {case.claim.claim: null for case, (null, _) in zip(cases, nulls, strict=True)}
        wide = np.stack([wide for _, wide in nulls], axis=1) if cases else None
        self.wide = correction.level(wide, alpha) if cases else alpha
        p = {case.claim.claim: case.p for case in cases}
        family = [claim for claim in p if claim not in decided]
        self.corrected = self._stepped_down(family, p)
        self._open = [claim for claim in family if self.corrected[claim] > alpha]
        for claim in p.keys() & decided.keys():
            self.corrected[claim] = self._stepped_down([claim, *self._open], p)[claim]

    def _stepped_down(self, claims: Sequence[str], p: Mapping[str, float]) -> dict[str, float]:
        if not claims:
            return {}
        return dict(zip(claims, correction.stepped_down(
            [p[claim] for claim in claims], self._drawn(claims)), strict=True))

    def _drawn(self, claims: Sequence[str]) -> np.ndarray:
        return np.stack([self._null[claim] for claim in claims], axis=1)

    def level(self, claim: str) -> float:
        """At which a claim is tested, the others being decided or open as they are."""
        return correction.level(self._drawn(list(dict.fromkeys([claim, *self._open]))), self.alpha)


def _case(claim: plan.Claim, runs: Mapping[str, TrainedRun],
          not_run: Mapping[str, plan.NotRun]) -> _Case:
    parsed = claims.parse(claim.claim, [*runs, *not_run])
    return _Case(claim, parsed.quantity, tuple(
        _Part(comparison, _obstacle(comparison, parsed.quantity, runs, not_run))
        for comparison in parsed.comparisons))


def _obstacle(comparison: Comparison, quantity: str, runs: Mapping[str, TrainedRun],
              not_run: Mapping[str, plan.NotRun]) -> Finding | None:
    """Why a comparison cannot be made. What is counted is known of failed runs too."""
    def not_computed(why: str) -> Finding:
        return Finding(comparison.text, NOT_COMPUTED, why=why)

    def not_comparable(why: str) -> Finding:
        return Finding(comparison.text, NOT_COMPARABLE, why=why)

    names = list(comparison.coefficients)
    for name in names:
        if name in not_run:
            return not_computed(f"{name} was not run: {not_run[name].why}")
    if quantity in COSTS and not COSTS[quantity].measured:
        return None
    for name in names:
        if runs[name].failed:
            return not_computed(f"{name} failed: {runs[name].failed}")
        if quantity in SCORES and quantity not in runs[name].scores:
            return not_computed(f"{name} has too few classes for {quantity}")
    if quantity in COSTS:
        why = unlike({name: runs[name].cost for name in names})
        return not_comparable(why) if why else None
    for name in names[1:]:
        if runs[name].test_set != runs[names[0]].test_set:
            return not_comparable(f"{names[0]} and {name} were tested on different images")
    if len(names) > 1 and not all(
            any(common_seeds([runs[name], runs[other]]) for other in names if other != name)
            for name in names):
        return not_comparable(f"{', '.join(names)} have no seed in common")
    return None


def _sampled(cases: list[_Case], runs: Mapping[str, TrainedRun]) -> list[_Case]:
    """The cases with what is tested: all at once, since it takes a second or two."""
    tested = [(case, part) for case in cases if case.quantity in SCORES for part in case.clear]
    drawn = samples(runs, [Sum(case.quantity, part.comparison.coefficients,
                               part.comparison.constant) for case, part in tested])
    sample_of = {(case.claim.claim, part.comparison.text): sample
                 for (case, part), sample in zip(tested, drawn, strict=True)}
    return [replace(case, parts=tuple(
        replace(part, sample=sample_of.get((case.claim.claim, part.comparison.text)))
        for part in case.parts)) for case in cases]


def _judged(case: _Case, family: _Family, runs: Mapping[str, TrainedRun],
            worth: float | None) -> Verdict:
    """The verdict on a case.

    Args:
        worth: difference to plan for; None where it has another unit.
    """
    name = case.claim.claim
    p = corrected = level = None
    advised = ""
    if case.samples:
        p, corrected, level = case.p, family.corrected[name], family.level(name)
        verdict = family.decided.get(name) or _decision(
            corrected, family.alpha, case.p_holds <= case.p_contradicted, case.here)
        findings = [part.obstacle or _tested(part, case, verdict, level, family.wide, worth)
                    for part in case.parts]
        if verdict == OPEN:
            advised = advice.text(advice.OpenClaim(
                case.effects, [finding.verdict in (HOLDS, HOLDS_HERE) for part, finding in zip(
                    case.parts, findings, strict=True) if part.sample], level,
                unit_of(case.quantity), worth))
    else:
        findings = [part.obstacle or _of_costs(part.comparison, case.quantity, runs)
                    for part in case.parts]
        judged = {finding.verdict for part, finding in zip(case.parts, findings, strict=True)
                  if not part.obstacle}
        verdict = (CONTRADICTED if CONTRADICTED in judged else HOLDS if judged == {HOLDS} else OPEN)
    obstacles = [part.obstacle for part in case.parts if part.obstacle]
    if obstacles and verdict not in (CONTRADICTED, CONTRADICTED_HERE):
        verdict, p, corrected, level, advised = obstacles[0].verdict, None, None, None, ""
    return Verdict(name, case.claim.note, case.quantity, unit_of(case.quantity), verdict, p,
                   corrected, tuple(findings), advised, level, {
                       run: runs[run].settings
                       for part in case.parts for run in part.comparison.coefficients
                       if run in runs})


def _decision(p: float, level: float, above: bool, here: bool) -> str:
    if p > level:
        return OPEN
    return (HOLDS_HERE if here else HOLDS) if above else CONTRADICTED_HERE if here else CONTRADICTED


def _tested(part: _Part, case: _Case, verdict: str, level: float, wide: float,
            worth: float | None) -> Finding:
    """What is found of one comparison.

    Args:
        verdict: of the claim.
        level: of the claim.
        wide: level of all comparisons that the study tests, for a claim of one.
    """
    effect = part.sample.effect
    two_sided = min(1.0, 2 * min(effect.p_above, effect.p_below))
    # K comparisons have K chances; that all hold, or that the clearest does not, is the claim's.
    found = _decision(min(1.0, len(case.effects) * two_sided), level,
                      effect.p_above <= effect.p_below, effect.here)
    clearest = min(case.effects, key=lambda effect: effect.p_below)
    if verdict in (HOLDS, HOLDS_HERE):
        found = HOLDS_HERE if effect.here else HOLDS
    elif verdict in (CONTRADICTED, CONTRADICTED_HERE) and effect is clearest:
        found = CONTRADICTED_HERE if effect.here else CONTRADICTED
    low, high = part.sample.interval(wide / len(case.effects))
    low, high = min(low, effect.low), max(high, effect.high)
    # What stepping down decides is bounded by 0, and only that (Strassburger and Bretz 2008).
    if found == OPEN:
        low, high = min(low, 0.0), max(high, 0.0)
    elif found in (HOLDS, HOLDS_HERE):
        low = max(low, 0.0)
    else:
        high = min(high, 0.0)
    why = []
    if effect.here:
        why.append("of these trained models: seeds are not in the interval")
    if found == OPEN and not effect.low <= 0 <= effect.high:
        why.append("the interval leaves out 0, not that for all claims at once")
    if found != OPEN and effect.low <= 0 <= effect.high:
        why.append("the interval, which allows for an unstable run, does not leave out 0")
    return Finding(part.comparison.text, found, effect.mean, effect.low, effect.high, low, high,
                   two_sided, effect.seeds, effect.images, planning.smallest(effect, level),
                   planning.seeds_needed(effect, worth, level) if worth else None, "; ".join(why))


def _of_costs(comparison: Comparison, quantity: str, runs: Mapping[str, TrainedRun]) -> Finding:
    cost = COSTS[quantity]
    terms = [comparison.constant, *(factor * cost.of(runs[run].cost)
                                    for run, factor in comparison.coefficients.items())]
    more, less = (sum(term * sign for term in terms if term * sign > 0) for sign in (1, -1))
    verdict, why = HOLDS if more > less else CONTRADICTED, "equal" if more == less else ""
    if cost.measured and abs(more - less) < NOISE * max(more, less):
        verdict, why = OPEN, ("measured once a run, which does not tell apart what differs by less "
                              f"than {words.share(NOISE)}")
    return Finding(comparison.text, verdict, more - less, why=why)


def unit_of(quantity: str) -> str:
    """Of a difference in a score or cost."""
    unit = (SCORES | COSTS)[quantity].unit
    return "points" if unit == "%" else unit  # a difference of percentages
