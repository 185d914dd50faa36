"""Claims held against what was found: holds, contradicted, or not distinguishable.

Scores are tested. A claim of several comparisons holds only if all of them do, so the largest of
their one-sided p-values is its own (an intersection-union test: Berger 1982,
https://doi.org/10.1080/00401706.1982.10487790); it is contradicted if any of them is, which K
comparisons have K chances of (Bonferroni). The smaller of the two, doubled, is the claim's p, and
Holm's correction makes it that of one among all claims that are tested: in at most 5 of 100 studies
is any verdict wrong that says more than "not distinguishable".

A comparison that cannot be made (its run was not run, or failed, or saw other images) leaves the
others of its claim, which are judged as if they were the claim. They may contradict it; nothing
makes it hold.

Costs are not tested. Those that are counted are compared as they are. Those that are measured are
measured once a run, so what differs by less than NOISE is not distinguishable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from unfreeze import words
from unfreeze.expecting import claims
from unfreeze.expecting.claims import Comparison
from unfreeze.expecting.costs import COSTS
from unfreeze.judging import advice, statistics
from unfreeze.judging.estimates import Sum, effects
from unfreeze.judging.runs import TrainedRun, common_seeds
from unfreeze.judging.statistics import Effect
from unfreeze.params import plan
from unfreeze.scoring.scores import SCORES

HOLDS, CONTRADICTED, OPEN = "holds", "contradicted", "not distinguishable"
NOT_COMPARABLE, NOT_COMPUTED = "not comparable", "not computed"
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
        p: two-sided, not corrected; None for costs.
        seeds, images: that it was tested on; None for costs.
        why: of a verdict without a test, or what the interval leaves out; "" for nothing to say.
    """

    text: str
    verdict: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    seeds: int | None = None
    images: int | None = None
    why: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes:
        claim, note: as in params.yaml.
        quantity, unit: of what is compared.
        verdict: HOLDS, CONTRADICTED, OPEN, NOT_COMPARABLE or NOT_COMPUTED.
        p, p_corrected: two-sided, of its comparisons that were tested; None where none was, or
            where the claim's verdict does not rest on them (NOT_COMPARABLE, NOT_COMPUTED).
        comparisons: a finding for each.
        advice: what would probably decide it; "" where it is decided, or cannot be.
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


def judge(claimed: Sequence[plan.Claim], runs: Mapping[str, TrainedRun],
          not_run: Mapping[str, plan.NotRun]) -> list[Verdict]:
    """A verdict for each claim, in the order given.

    Args:
        runs: all runs of the study; those that no claim names tell about the spread over seeds.
    """
    cases = _estimated([_case(claim, runs, not_run) for claim in claimed], runs)
    return [_decided(case, [other.p for other in cases if other.effects and other is not case],
                     runs) for case in cases]


@dataclass(frozen=True)
class _Part:
    """A comparison of a claim.

    Attributes:
        obstacle: the finding where it cannot be made.
        effect: where it is tested.
    """

    comparison: Comparison
    obstacle: Finding | None
    effect: Effect | None = None


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
    def effects(self) -> list[Effect]:
        """Of the comparisons that are tested."""
        return [part.effect for part in self.parts if part.effect]

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
        return None
    for name in names[1:]:
        if runs[name].test_set != runs[names[0]].test_set:
            return not_comparable(f"{names[0]} and {name} were tested on different images")
    if not common_seeds(runs[name] for name in names):
        return not_comparable(f"{', '.join(names)} have no seed in common")
    return None


def _estimated(cases: list[_Case], runs: Mapping[str, TrainedRun]) -> list[_Case]:
    """The cases with the effects of what is tested: all at once, since it takes a second or two."""
    tested = [(case, part) for case in cases if case.quantity in SCORES for part in case.clear]
    estimated = effects(runs, [Sum(case.quantity, part.comparison.coefficients,
                                   part.comparison.constant) for case, part in tested])
    effect_of = {(case.claim.claim, part.comparison.text): effect
                 for (case, part), effect in zip(tested, estimated, strict=True)}
    return [replace(case, parts=tuple(
        replace(part, effect=effect_of.get((case.claim.claim, part.comparison.text)))
        for part in case.parts)) for case in cases]


def _decided(case: _Case, others: list[float], runs: Mapping[str, TrainedRun]) -> Verdict:
    """The verdict on a case.

    Args:
        others: p of the other claims that are tested.
    """
    p = corrected = None
    advised = ""
    if case.effects:
        p, corrected = case.p, _corrected(case.p, others)
        verdict = _decision(corrected, case.p_holds <= case.p_contradicted)
        # K parts have K chances; where the claim holds, its test has shown each of them.
        chances = 1 if verdict == HOLDS else len(case.effects)
        findings = [part.obstacle or _tested(part, chances, others) for part in case.parts]
        if verdict == OPEN:
            advised = advice.text(advice.OpenClaim(
                case.effects, [finding.verdict == HOLDS for part, finding in zip(
                    case.parts, findings, strict=True) if part.effect],
                ALPHA / (len(others) + 1)))
    else:
        findings = [part.obstacle or _of_costs(part.comparison, case.quantity, runs)
                    for part in case.parts]
        judged = {finding.verdict for part, finding in zip(case.parts, findings, strict=True)
                  if not part.obstacle}
        verdict = (CONTRADICTED if CONTRADICTED in judged else HOLDS if judged == {HOLDS} else OPEN)
    obstacles = [part.obstacle for part in case.parts if part.obstacle]
    if obstacles and verdict != CONTRADICTED:
        verdict, p, corrected, advised = obstacles[0].verdict, None, None, ""
    return Verdict(case.claim.claim, case.claim.note, case.quantity, _unit(case.quantity), verdict,
                   p, corrected, tuple(findings), advised)


def _corrected(p: float, others: list[float]) -> float:
    """Holm's correction of a claim's p among those of the others."""
    return statistics.holm([p, *others])[0]


def _decision(corrected: float, above: bool) -> str:
    return OPEN if corrected > ALPHA else HOLDS if above else CONTRADICTED


def _tested(part: _Part, chances: int, others: list[float]) -> Finding:
    effect = part.effect
    two_sided = min(1.0, 2 * min(effect.p_above, effect.p_below))
    verdict = _decision(_corrected(min(1.0, chances * two_sided), others),
                        effect.p_above <= effect.p_below)
    return Finding(part.comparison.text, verdict, effect.mean, effect.low, effect.high, two_sided,
                   effect.seeds, effect.images,
                   "one seed: of these trained models; other seeds are not in the interval"
                   if effect.seeds == 1 else "")


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


def _unit(quantity: str) -> str:
    unit = (SCORES | COSTS)[quantity].unit
    return "points" if unit == "%" else unit  # a difference of percentages
