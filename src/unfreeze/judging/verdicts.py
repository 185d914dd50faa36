"""Claims held against what was found: holds, contradicted, or not distinguishable.

Metrics are tested. A claim of several comparisons holds only if all of them do, so the largest of
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

from dataclasses import dataclass, replace

from unfreeze.judging import claims, statistics
from unfreeze.judging.claims import Comparison
from unfreeze.judging.costs import COSTS, Cost
from unfreeze.judging.estimates import Run, Sum, common_seeds, effects
from unfreeze.judging.statistics import Effect
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


def judge(given: list[dict[str, str]], runs: dict[str, Run],
          not_run: dict[str, dict]) -> list[Verdict]:
    """A verdict for each claim, in the order given.

    Args:
        given: content of plan/claims.yaml.
        runs: all runs of the study; those that no claim names tell about the spread over seeds.
        not_run: content of plan/not_run.yaml.
    """
    read = [claims.parse(each["claim"], [*runs, *not_run]) for each in given]
    obstacles = [[_obstacle(part, claim.quantity, runs, not_run) for part in claim.comparisons]
                 for claim in read]
    clear = [tuple(part for part, obstacle in zip(claim.comparisons, own, strict=True)
                   if not obstacle) for claim, own in zip(read, obstacles, strict=True)]
    tested = [place for place, claim in enumerate(read)
              if claim.quantity in SCORES and clear[place]]
    found = iter(effects(runs, [Sum(read[place].quantity, each.coefficients, each.constant)
                                for place in tested for each in clear[place]]))
    estimated = {place: [next(found) for _ in clear[place]] for place in tested}
    p = {place: min(1.0, 2 * min(_p_holds_and_contradicted(estimated[place])))
         for place in tested}

    verdicts = []
    for place, (claim, each) in enumerate(zip(read, given, strict=True)):
        advice, own, corrected = "", p.get(place), None
        if place in p:
            corrected = _corrected(p, place, p[place])
            holds, contradicted = _p_holds_and_contradicted(estimated[place])
            verdict = _decided(corrected, holds <= contradicted)
            # K parts have K chances; where the claim holds, its test has shown each of them.
            chances = 1 if verdict == HOLDS else len(clear[place])
            judged = [
                _finding(part.text, effect,
                         _corrected(p, place, min(1.0, chances * _two_sided(effect))))
                for part, effect in zip(clear[place], estimated[place], strict=True)]
            if verdict == OPEN:
                advice = _advice(estimated[place], judged, ALPHA / len(tested))
        elif clear[place]:
            judged = _of_costs(clear[place], COSTS[claim.quantity], runs)
            verdict = (CONTRADICTED if any(part.verdict == CONTRADICTED for part in judged) else
                       HOLDS if all(part.verdict == HOLDS for part in judged) else OPEN)
        else:
            judged, verdict = [], None
        missing = [obstacle for obstacle in obstacles[place] if obstacle]
        if missing and verdict != CONTRADICTED:
            (verdict, _), advice, own, corrected = missing[0], "", None, None
        rest = iter(judged)
        findings = [Finding(part.text, obstacle[0], why=obstacle[1]) if obstacle else next(rest)
                    for part, obstacle in zip(claim.comparisons, obstacles[place], strict=True)]
        verdicts.append(Verdict(each["claim"], each["note"], claim.quantity, _unit(claim.quantity),
                                verdict, own, corrected, tuple(findings), advice))
    return verdicts


def _obstacle(comparison: Comparison, quantity: str, runs: dict[str, Run],
              not_run: dict[str, dict]) -> tuple[str, str] | None:
    """The verdict on what cannot be computed, and why. What is counted is known of failed runs
    too."""
    for name in comparison.coefficients:
        if name in not_run:
            return NOT_COMPUTED, f"{name} was not run: {not_run[name]['why']}"
    if quantity in COSTS and not COSTS[quantity].measured:
        return None
    first, *others = comparison.coefficients
    for name in comparison.coefficients:
        if runs[name].failed:
            return NOT_COMPUTED, f"{name} failed: {runs[name].failed}"
        if quantity in SCORES and quantity not in runs[name].scores:
            return NOT_COMPUTED, f"{name} has too few classes for {quantity}"
    if quantity in COSTS:
        return None
    for other in others:
        if runs[other].test_set != runs[first].test_set:
            return NOT_COMPARABLE, f"{first} and {other} were tested on different images"
    if not common_seeds(runs[name] for name in comparison.coefficients):
        return NOT_COMPARABLE, f"{', '.join([first, *others])} have no seed in common"
    return None


def _p_holds_and_contradicted(found: list[Effect]) -> tuple[float, float]:
    """One-sided p-values of a claim: that not all are above 0, that none is below."""
    return (max(effect.p_above for effect in found),
            min(1.0, len(found) * min(effect.p_below for effect in found)))


def _two_sided(effect: Effect) -> float:
    return min(1.0, 2 * min(effect.p_above, effect.p_below))


def _corrected(p: dict[int, float], number: int, own: float) -> float:
    """Holm's correction of a claim's p, were it `own`."""
    return statistics.holm(list((p | {number: own}).values()))[list(p).index(number)]


def _decided(corrected: float, above: bool) -> str:
    return OPEN if corrected > ALPHA else HOLDS if above else CONTRADICTED


def _finding(text: str, effect: Effect, corrected: float) -> Finding:
    return Finding(text, _decided(corrected, effect.p_above <= effect.p_below), effect.mean,
                   effect.low, effect.high, _two_sided(effect), effect.seeds, effect.images,
                   "one seed: of these trained models; other seeds are not in the interval"
                   if effect.seeds == 1 else "")


def _of_costs(comparisons: tuple[Comparison, ...], cost: Cost,
              runs: dict[str, Run]) -> list[Finding]:
    findings = []
    for each in comparisons:
        terms = [each.constant, *(factor * cost.of(runs[run].cost)
                                  for run, factor in each.coefficients.items())]
        more, less = (sum(term * sign for term in terms if term * sign > 0) for sign in (1, -1))
        verdict, why = HOLDS if more > less else CONTRADICTED, "equal" if more == less else ""
        if cost.measured and abs(more - less) < NOISE * max(more, less):
            verdict, why = OPEN, (f"measured once a run, which does not tell apart what differs by "
                                  f"less than {NOISE:.0%}")
        findings.append(Finding(each.text, verdict, more - less, why=why))
    return findings


def _unit(quantity: str) -> str:
    unit = (SCORES | COSTS)[quantity].unit
    return "points" if unit == "%" else unit  # a difference of percentages


def _advice(found: list[Effect], findings: list[Finding], alpha: float) -> str:
    """How many seeds or test images would probably decide an open claim."""
    now, tested = min(effect.seeds for effect in found), found[0].images
    seeds, images = _needed(found, findings, alpha)
    ways = [f"{seeds} seeds (now {now})"] if seeds else []
    ways += [f"{_rounded(images):,} test images (now {tested:,})"] if images else []
    if ways:
        return f"about {' or '.join(ways)} would probably decide it"
    if now == 1:
        return (f"not even {statistics.MOST} times the test images would probably decide it; what "
                "more seeds would do, one seed cannot tell")
    for times in (2, 5, 10):
        seeds, _ = _needed([replace(effect, image_variance=effect.image_variance / times,
                                    rest_variance=effect.rest_variance / times)
                            for effect in found], findings, alpha)
        if seeds:
            return (f"about {seeds} seeds (now {now}) with {times} times the test images (now "
                    f"{tested:,}) would probably decide it; either alone would not")
    return (f"not even {statistics.MOST} seeds with {times} times the test "
            "images would probably decide it")


def _needed(found: list[Effect], findings: list[Finding],
            alpha: float) -> tuple[int | None, int | None]:
    """Seeds alone, and test images alone, that would probably decide an open claim."""
    functions = statistics.seeds_needed, statistics.images_needed
    against = [effect for effect in found if effect.mean < 0]
    if against:  # one contradicted comparison decides
        counts = [[function(effect, alpha / len(found)) for effect in against]
                  for function in functions]
        return tuple(min((each for each in column if each), default=None) for column in counts)
    # All that are open must come out as claimed.
    missing = [effect for effect, finding in zip(found, findings, strict=True)
               if finding.verdict != HOLDS]
    counts = [[function(effect, alpha) for effect in missing] for function in functions]
    return tuple(None if None in column else max(column) for column in counts)


def _rounded(count: int) -> int:
    """Up to two digits: it is an estimate."""
    step = 10 ** max(len(str(count)) - 2, 0)
    return -(-count // step) * step


CLAIMS = ("number", "claim", "note", "comparison", "quantity", "unit", "effect", "low", "high", "p",
          "p_corrected", "verdict", "claim_verdict", "seeds", "images", "advice", "why")


def claim_rows(verdicts: list[Verdict]) -> list[tuple]:
    """A row for each comparison; `p` and `verdict` are its own, `p_corrected`, `claim_verdict` and
    `advice` its claim's. What there is none of is empty."""
    return [
        (place, each.claim, each.note, part.text, each.quantity, each.unit,
         *map(number, (part.effect, part.low, part.high)),
         *map(p_value, (part.p, each.p_corrected)),
         part.verdict, each.verdict, part.seeds, part.images, each.advice, part.why)
        for place, each in enumerate(verdicts, start=1) for part in each.comparisons
    ]


def claim_metrics(verdicts: list[Verdict]) -> dict[str, dict]:
    """metrics/claims.json: what does not depend on a clock, by the text of the claim; p is the
    corrected one."""
    return {
        each.claim: {
            "verdict": each.verdict,
            "p": p_value(each.p_corrected),
            "quantity": each.quantity,
            "unit": each.unit,
            "comparisons": [
                {"text": part.text, "verdict": part.verdict, "effect": number(part.effect),
                 "low": number(part.low), "high": number(part.high)} for part in each.comparisons],
        }
        for each in sorted(verdicts, key=lambda each: each.claim)
        if each.quantity in SCORES or not COSTS[each.quantity].measured
    }


REPORTED = ("run", "metric", "ours", "low", "high", "reported", "difference", "within")


def reported_rows(reported: dict[str, dict[str, float]], own: dict[str, dict[str, Effect]],
                  not_run: dict[str, dict]) -> list[tuple]:
    """A row for each reported number, beside ours, its 95 % interval, and ours less it; a run that
    failed, was not run, or has too few classes for the metric has none.

    Args:
        reported: content of plan/reported.yaml.
        own: of estimates.intervals.
        not_run: content of plan/not_run.yaml.
    """
    rows = []
    for run, numbers in reported.items():
        for metric, theirs in numbers.items():
            if run not in own or metric not in own[run]:
                why = ("not run" if run in not_run else "failed" if run not in own else
                       "too few classes")
                rows.append((run, metric, None, None, None, theirs, None, why))
                continue
            ours = own[run][metric]
            rows.append((run, metric, *map(number, (ours.mean, ours.low, ours.high)), theirs,
                         number(ours.mean - theirs),
                         "yes" if ours.low <= theirs <= ours.high else "no"))
    return rows


def number(value: float | None) -> float | int | None:
    """For a file: four decimals, none where there is no fraction."""
    if value is None:
        return None
    whole = float(value).is_integer() and abs(value) < 2**53  # beyond that readers make text of it
    return int(value) if whole else round(float(value), 4) + 0.0


def p_value(value: float | None) -> float | None:
    """For a file: three digits."""
    return None if value is None else float(f"{value:.3g}")
