"""Which run to choose: the best within a budget, what cannot be told from it, the cheapest.

A run is best by its accuracy. The others within the budget are compared with it on the same images
and seeds: is it worse? One-sided, Holm's correction over these comparisons, so that the run which
is best in truth is left out in at most 5 % of studies. Those that the tests leave open are tied
with it. Recommended is the fastest of them; what is less than verdicts.NOISE slower counts as
equally fast, and of these the one with the fewest trained parameters is taken.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from unfreeze import words
from unfreeze.expecting.costs import COSTS
from unfreeze.judging.estimates import Intervals, difference, effects
from unfreeze.judging.runs import TrainedRun, common_seeds
from unfreeze.judging.statistics import Effect, holm
from unfreeze.judging.verdicts import ALPHA, NOISE
from unfreeze.params.plan import base


@dataclass(frozen=True)
class Candidate:
    """A run under a budget.

    Attributes:
        run: its name.
        accuracy: with its interval; None for a failed run.
        over: what it costs beyond the budget, in words; "" within it.
        cost: content of cost.json.
        note: what keeps it from being compared; "" for nothing.
        difference: its accuracy less that of the best within the budget; None where it is not
            compared with it: the best itself, a failed run, one without its test images or seeds.
        p: one-sided, of the hypothesis that it is not worse, corrected; None as there, and beyond
            the budget.
        tied: whether it is within the budget and not distinguishable from the best, or the best.
        best, recommended: at most one run each.
    """

    run: str
    accuracy: Effect | None
    over: str
    cost: dict
    note: str
    difference: Effect | None = None
    p: float | None = None
    tied: bool = False
    best: bool = False
    recommended: bool = False


def recommend(runs: Mapping[str, TrainedRun], budget: Mapping[str, float],
              intervals: Intervals) -> list[Candidate]:
    """Every run as a candidate, best accuracy first, failed runs last.

    Where runs have different test sets, those with the test set of `base` (the first run, where
    there is no base) compete.

    Args:
        budget: {cost: at most}.
    """
    candidates = _by_accuracy(runs, budget, intervals)
    best = next((candidate.run for candidate in candidates
                 if not candidate.note and not candidate.over), None)
    if best is None:
        return candidates
    candidates = _compared(candidates, best, runs)
    cheapest = _cheapest({candidate.run: candidate.cost for candidate in candidates
                          if candidate.tied})
    return [replace(candidate, recommended=candidate.run == cheapest) for candidate in candidates]


def _by_accuracy(runs: Mapping[str, TrainedRun], budget: Mapping[str, float],
                 intervals: Intervals) -> list[Candidate]:
    ranked = sorted(intervals, key=lambda name: (-intervals[name]["accuracy"].mean, name))
    first = base(intervals) if intervals else ""
    candidates = [
        Candidate(name, intervals[name]["accuracy"], _over(runs[name].cost, budget),
                  runs[name].cost, "" if runs[name].test_set == runs[first].test_set else
                  f"not compared: other test images than {first}'s") for name in ranked]
    return candidates + [
        Candidate(name, None, _over(run.cost, budget), run.cost, f"failed: {run.failed}")
        for name, run in runs.items() if run.failed]


def _over(cost: dict, budget: Mapping[str, float]) -> str:
    over = []
    for name, limit in budget.items():
        value = COSTS[name].of(cost)
        if value > limit:
            over.append(f"{name} {' of '.join(words.apart(value, limit, COSTS[name].unit))}")
    return ", ".join(over)


def _compared(candidates: list[Candidate], best: str,
              runs: Mapping[str, TrainedRun]) -> list[Candidate]:
    """The candidates held against the best within the budget."""
    candidates = [
        replace(candidate, note=f"not compared: no seed in common with {best}")
        if not candidate.note and not common_seeds([runs[candidate.run], runs[best]])
        else candidate for candidate in candidates]
    comparable = [candidate for candidate in candidates
                  if not candidate.note and candidate.run != best]
    differences = dict(zip(
        [candidate.run for candidate in comparable],
        effects(runs, [difference("accuracy", candidate.run, best) for candidate in comparable]),
        strict=True))
    within = [candidate.run for candidate in comparable if not candidate.over]
    p = dict(zip(within, holm([differences[name].p_below for name in within]), strict=True))
    return [
        replace(candidate, difference=differences.get(candidate.run), p=p.get(candidate.run),
                best=candidate.run == best,
                tied=candidate.run == best or p.get(candidate.run, 0.0) > ALPHA)
        for candidate in candidates]


def _cheapest(costs: dict[str, dict]) -> str:
    """The fastest run; of those that the clock cannot tell from it, the one that trains fewest
    parameters, then the faster one.

    Args:
        costs: {run: content of cost.json}, not empty.
    """
    seconds, parameters = COSTS["seconds"].of, COSTS["parameters_trainable"].of
    fastest = min(map(seconds, costs.values()))
    return min((name for name in costs if (1 - NOISE) * seconds(costs[name]) <= fastest),
               key=lambda name: (parameters(costs[name]), seconds(costs[name]), name))
