"""Which run to take: the cheapest within a budget that is expected to lose next to nothing.

What is known of the runs' true scores is a posterior distribution (posterior.py). The expected loss
of a run is how far it lies, on average over that, below the run that is truly best within the
budget. Recommended is the cheapest of the runs whose expected loss is within `margin` of the least,
by the counted operations of training one replicate. Ignorance does not pay: what is little known is
pulled towards the others, and its loss is counted in full.
docs/statistics.md has how much this rule loses in simulated studies.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unfreeze import words
from unfreeze.expecting.costs import COSTS
from unfreeze.judging import evidence, posterior
from unfreeze.judging.estimates import Intervals
from unfreeze.judging.evidence import Evidence
from unfreeze.judging.posterior import Posterior
from unfreeze.judging.runs import TrainedRun
from unfreeze.judging.statistics import Effect
from unfreeze.params.plan import base
from unfreeze.scoring.scores import SCORES

_REACH = 1.959964  # standard deviations either side of a normal mean that hold 95 %
_MAY_BE_BEST = 0.01  # probability from which more seeds of a run are worth having
_TIMES = 2, 4, 8  # as many seeds as now
_DIGITS = 9  # to which scores are compared
_MOST = 100  # seeds of a run, more than anybody would train


@dataclass(frozen=True)
class Estimate:
    """A value and the interval that holds the true one with a probability of 95 %."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Candidate:
    """A run under a budget.

    Attributes:
        run: its name.
        score: on test images, with its interval; None for a failed run.
        over: what it costs beyond the budget, in words; "" within it.
        cost: of TrainedRun.
        note: what keeps it from competing; "" for nothing. All below is then None or False.
        posterior: its true score, given what all runs scored on the images that choose.
        expected: what to expect of it on other test images: the posterior, which is corrected for
            having won, where test images choose; its score on them where they do not.
        difference: its true score less that of the best; None for the best itself.
        behind: by how much its expected loss is above the least; below 0 for a run beyond the
            budget that is better.
        loss: expected, against the run that is truly best within the budget; None beyond it, as is
            `chance`, the probability that it is that run.
        tied: within the budget and not distinguishable from the best (the interval of the
            difference holds 0), or the best.
        enough: within the budget, and `behind` is within the margin.
        best: of the least expected loss. recommended: the cheapest that is enough. At most one run
            each.
    """

    run: str
    score: Effect | None
    over: str
    cost: dict
    note: str
    posterior: Estimate | None = None
    expected: Estimate | Effect | None = None
    difference: Estimate | None = None
    behind: float | None = None
    loss: float | None = None
    chance: float | None = None
    tied: bool = False
    enough: bool = False
    best: bool = False
    recommended: bool = False


@dataclass(frozen=True)
class Further:
    """What more seeds would bring.

    Attributes:
        knob: "seeds" or "search_seeds". number: how many of them each run would have.
        runs: that they are worth having of: those that may still be the best.
        loss_now, loss: expected of the run that looks best, now and then.
        operations: counted, seconds: measured, of training what is not trained yet.
    """

    knob: str
    number: int
    runs: tuple[str, ...]
    loss_now: float
    loss: float
    operations: float
    seconds: float


@dataclass(frozen=True)
class Recommendation:
    """What to take, and how sure that is.

    Attributes:
        candidates: every run; those that compete by their posterior mean, best first; then those
            that do not, failed ones last.
        score: that all goes by. margin: in its unit.
        chosen_by: evidence.TEST or VALIDATION; "" where no run competes. why: in words.
        seeds: the fewest of a run that competes. images: the fewest that models of one were scored
            on. knob: that makes more of them: "seeds" or "search_seeds".
        spread: standard deviation between true scores, as far as known; None with one run.
        here: nothing is known of what other seeds would give: all is said of these trained models.
        further: what more seeds would bring; empty where that cannot be told, or where one
            run alone may be the best.
    """

    candidates: tuple[Candidate, ...]
    score: str
    margin: float
    chosen_by: str = ""
    why: str = ""
    seeds: int = 0
    images: int = 0
    knob: str = "seeds"
    spread: float | None = None
    here: bool = False
    further: tuple[Further, ...] = ()

    @property
    def best(self) -> Candidate | None:
        return next((each for each in self.candidates if each.best), None)

    @property
    def recommended(self) -> Candidate | None:
        return next((each for each in self.candidates if each.recommended), None)


def recommend(runs: Mapping[str, TrainedRun], budget: Mapping[str, float], intervals: Intervals,
              score: str = "accuracy", margin: float = 1.0) -> Recommendation:
    """What to take of these runs.

    Where runs have different test sets, those with the test set of `base` (the first run, where
    there is no base) compete.

    Args:
        budget: {cost: at most}.
        score: a name of SCORES. margin: how much more loss, in its unit, a cheaper run may have.
    """
    candidates = _candidates(runs, budget, intervals, score)
    competing = [each for each in candidates if not each.note]
    if not competing:
        return Recommendation(tuple(candidates), score, margin)
    compared = [runs[each.run] for each in competing]
    found = evidence.gather(compared, score)
    known = posterior.posterior(found.replicates)
    judged = _judged(competing, found, known, margin, SCORES[score].bounds)
    judged.sort(key=lambda each: (-found.sign * round(each.posterior.mean, _DIGITS), each.run))
    return Recommendation(
        (*judged, *(each for each in candidates if each.note)), score, margin, found.chosen_by,
        found.why, int(found.seeds.min()), found.images, found.knob, known.spread,
        not known.noise.known, _further(judged, found, _with_seeds(known, compared, score)))


def _candidates(runs: Mapping[str, TrainedRun], budget: Mapping[str, float], intervals: Intervals,
                score: str) -> list[Candidate]:
    """Every run, failed ones last."""
    finished = [run for run in runs.values() if not run.failed]
    first = base(run.name for run in finished) if finished else ""

    def note(run: TrainedRun) -> str:
        if run.failed:
            return f"failed: {run.failed}"
        if run.test_set != runs[first].test_set:
            return f"not compared: other test images than {first}'s"
        return "" if score in run.scores else f"not compared: too few classes for {score}"

    return [Candidate(run.name, intervals.get(run.name, {}).get(score), over(run.cost, budget),
                      run.cost, note(run))
            for run in sorted(runs.values(), key=lambda run: bool(run.failed))]


def over(cost: dict, budget: Mapping[str, float]) -> str:
    """What a run costs beyond a budget, in words; "" for nothing."""
    beyond = []
    for name, limit in budget.items():
        value = COSTS[name].of(cost)
        if value > limit:
            beyond.append(f"{name} {' of '.join(words.apart(value, limit, COSTS[name].unit))}")
    return ", ".join(beyond)


def _judged(competing: list[Candidate], found: Evidence, known: Posterior, margin: float,
            bounds: tuple[float, float]) -> list[Candidate]:
    """The candidates with what is known of each.

    Args:
        bounds: the lowest and the highest that the score can be.
    """
    within = [place for place, each in enumerate(competing) if not each.over]
    corrected = found.chosen_by == evidence.TEST and len(competing) > 1
    judged = []
    for place, each in enumerate(competing):
        true = _estimate(found.sign * known.mean[place], known.deviation[place], bounds)
        judged.append(replace(each, posterior=true, expected=true if corrected else each.score))
    if not within:
        return judged

    def cost(place: int) -> float:
        return COSTS["operations"].of(competing[place].cost)

    def mean(place: int) -> float:
        return round(float(known.mean[place]), _DIGITS)  # equal is equal

    best = min(within, key=lambda place: (-mean(place), cost(place), competing[place].run))
    truth = known.draws()[:, within]
    losses = truth.max(axis=1).mean() - truth.mean(axis=0)
    chances = np.bincount(truth.argmax(axis=1), minlength=len(within)) / len(truth)
    loss, chance = (dict(zip(within, map(float, values), strict=True))
                    for values in (losses, chances))
    deviations = known.deviation_from(best)
    for place, each in enumerate(judged):
        behind = mean(best) - mean(place)
        difference = _estimate(-found.sign * behind, deviations[place])
        judged[place] = replace(
            each, behind=behind, loss=loss.get(place), chance=chance.get(place),
            difference=None if place == best else difference, best=place == best,
            tied=place in loss and difference.low <= 0 <= difference.high,
            enough=place in loss and behind <= margin)
    cheapest = min((place for place, each in enumerate(judged) if each.enough),
                   key=lambda place: (cost(place), judged[place].behind, judged[place].run))
    judged[cheapest] = replace(judged[cheapest], recommended=True)
    return judged


def _estimate(mean: float, deviation: float,
              bounds: tuple[float, float] = (-math.inf, math.inf)) -> Estimate:
    """A normal value, cut where it cannot lie."""
    low, high = bounds
    return Estimate(*(float(min(max(value, low), high)) for value in (
        mean, mean - _REACH * deviation, mean + _REACH * deviation)))


def _with_seeds(known: Posterior, runs: Sequence[TrainedRun], score: str) -> Posterior:
    """What is known, to plan with: where one seed chooses, and so says nothing of others, seeds are
    taken to matter as much as they do to the tested models. That chooses nothing."""
    if known.noise.known:
        return known
    tested = posterior.posterior(evidence.on_test(runs, score).replicates).noise
    return replace(known, noise=replace(known.noise, own=tested.own, doubt=tested.doubt,
                                        common=tested.common, known=tested.known))


def _further(judged: list[Candidate], found: Evidence, known: Posterior) -> tuple[Further, ...]:
    """What two, four and eight times the seeds would bring, of the runs that may be best."""
    worth = [each for each in judged if each.chance is not None and each.chance >= _MAY_BE_BEST]
    if len(worth) < 2 or not known.noise.known:
        return ()
    chosen = np.isin(found.runs, [each.run for each in worth])
    within = np.isin(found.runs, [each.run for each in judged if each.chance is not None])
    now = int(max(found.seeds[chosen]))
    of_a_seed = known.counts / found.seeds

    def loss(number: int) -> float:
        seeds = np.where(chosen, np.maximum(found.seeds, number), found.seeds)
        return posterior.loss_with(known, seeds * of_a_seed, within)

    return tuple(
        Further(found.knob, number, tuple(each.run for each in worth), loss(0), loss(number),
                *_price(worth, found, number))
        for number in (times * now for times in _TIMES) if number <= _MOST)


def _price(worth: list[Candidate], found: Evidence, number: int) -> tuple[float, float]:
    """Operations and seconds of the seeds that these runs lack to so many."""
    operations = seconds = 0.0
    for each in worth:
        have = int(found.seeds[found.runs.index(each.run)])
        searching = found.knob == "search_seeds"
        missing = max(0, number - have) / (have if searching else 1)
        operations += missing * COSTS["search_operations" if searching else "operations"].of(
            each.cost)
        seconds += missing * COSTS["search_seconds" if searching else "seconds"].of(each.cost)
    return operations, seconds
