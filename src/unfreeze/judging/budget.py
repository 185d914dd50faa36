"""Which run to choose: the best within a budget, what cannot be told from it, the cheapest.

A run is best by its accuracy. The others within the budget are compared with it on the same images
and seeds: is it worse? One-sided, Holm's correction over these comparisons, so that the run which
is best in truth is left out in at most 5 % of studies. Those that the tests leave open are tied
with it. Recommended is the fastest of them; what is less than verdicts.NOISE slower counts as
equally fast, and of these the one with the fewest trained parameters is taken. What dominates a run
has at least its accuracy at no more cost, and is better in one of them (Pareto).
"""

from dataclasses import dataclass

from unfreeze.judging import tables
from unfreeze.judging.costs import COSTS
from unfreeze.judging.estimates import Run, common_seeds, difference, effects
from unfreeze.judging.statistics import Effect, holm
from unfreeze.judging.verdicts import ALPHA, NOISE, number, p_value

PARETO_COSTS = ("seconds", "parameters_trainable", "stored_bytes", "activation_bytes", "flops")


@dataclass(frozen=True)
class Candidate:
    """A run under a budget.

    Attributes:
        run: its name.
        accuracy: with its interval; None for a failed run.
        over: what it costs beyond the budget, in words; "" within it.
        difference: its accuracy less that of the best within the budget; None where it is not
            compared with it: the best itself, a failed run, one without its test images or seeds.
        p: one-sided, of the hypothesis that it is not worse, corrected; None as there, and beyond
            the budget.
        tied: whether it is within the budget and not distinguishable from the best, or the best.
        best, recommended: at most one run each.
        cost: content of cost.json.
        note: what keeps it from being compared; "" for nothing.
    """

    run: str
    accuracy: Effect | None
    over: str
    difference: Effect | None
    p: float | None
    tied: bool
    best: bool
    recommended: bool
    cost: dict
    note: str


def recommend(runs: dict[str, Run], budget: dict[str, float],
              own: dict[str, dict[str, Effect]]) -> list[Candidate]:
    """Every run as a candidate, best accuracy first, failed runs last.

    Where runs have different test sets, those with the test set of `base` (the first run, where
    there is no base) compete.

    Args:
        budget: content of plan/budget.yaml.
        own: of estimates.intervals.
    """
    over = {name: _over(run.cost, budget) for name, run in runs.items()}
    notes = {name: f"failed: {run.failed}" for name, run in runs.items() if run.failed}
    ranked = sorted(own, key=lambda name: (-own[name]["accuracy"].mean, name))
    if own:
        first = tables.base(own)
        notes |= {name: f"not compared: other test images than {first}'s" for name in own
                  if runs[name].test_set != runs[first].test_set}
    best = next((name for name in ranked if name not in notes and not over[name]), None)
    if best:
        notes |= {name: f"not compared: no seed in common with {best}" for name in own
                  if name not in notes and not common_seeds([runs[name], runs[best]])}
    compared = [name for name in ranked if best and name not in notes and name != best]
    found = dict(zip(compared, effects(
        runs, [difference("accuracy", name, best) for name in compared]), strict=True))
    within = [name for name in compared if not over[name]]
    p = dict(zip(within, holm([found[name].p_below for name in within]), strict=True))
    tied = [best] * bool(best) + [name for name in within if p[name] > ALPHA]
    recommended = _cheapest({name: runs[name].cost for name in tied})
    return [
        Candidate(name, own[name]["accuracy"] if name in own else None, over[name],
                  found.get(name), p.get(name), name in tied, name == best, name == recommended,
                  runs[name].cost, notes.get(name, ""))
        for name in [*ranked, *(name for name in runs if name not in own)]
    ]


def _over(cost: dict, budget: dict[str, float]) -> str:
    return ", ".join(f"{name} {amount(COSTS[name].of(cost), COSTS[name].unit)} of "
                     f"{amount(most, COSTS[name].unit)}"
                     for name, most in budget.items() if COSTS[name].of(cost) > most)


def amount(value: float, unit: str) -> str:
    """`409.3 MB`, `12.8 s`, `145 M operations`: at least three digits."""
    if unit in ("bytes", "operations", "parameters"):
        size, letter = next(((size, letter) for size, letter in (
            (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")) if value >= size), (1, ""))
        unit = f"{letter}B" if unit == "bytes" else f"{letter} {unit}".strip()
        value /= size
    return f"{value:.4g} {unit}"


def _cheapest(costs: dict[str, dict]) -> str | None:
    """The fastest run; of those that the clock cannot tell from it, the one that trains fewest
    parameters, then the faster one."""
    seconds, parameters = COSTS["seconds"].of, COSTS["parameters_trainable"].of
    fastest = min(map(seconds, costs.values()), default=None)
    return min((name for name in costs if (1 - NOISE) * seconds(costs[name]) <= fastest),
               key=lambda name: (parameters(costs[name]), seconds(costs[name]), name),
               default=None)


RECOMMENDATION = ("run", "accuracy", "low", "high", "within_budget", "over", "difference",
                  "difference_low", "difference_high", "p", "tied", "best", "recommended",
                  *PARETO_COSTS, "note")


def recommendation_rows(candidates: list[Candidate]) -> list[tuple]:
    """A row for each candidate; costs in the units of scoring.costs."""
    return [
        (each.run, *_interval(each.accuracy), _yes(not each.over), each.over,
         *_interval(each.difference), p_value(each.p), *map(_yes, (
             each.tied, each.best, each.recommended)),
         *(number(COSTS[name].of(each.cost)) for name in PARETO_COSTS), each.note)
        for each in candidates
    ]


def _interval(effect: Effect | None) -> list[float | int | None]:
    return [None] * 3 if effect is None else [*map(number, (effect.mean, effect.low, effect.high))]


def _yes(value: bool) -> str:
    return "yes" if value else "no"


PARETO = ("run", "cost", "unit", "value", "accuracy", "low", "high", "dominated")


def pareto_rows(runs: dict[str, Run], own: dict[str, dict[str, Effect]]) -> list[tuple]:
    """A row for each run and each of PARETO_COSTS; failed runs are left out. Only a run with the
    same test images can dominate another."""
    rows = []
    for cost in PARETO_COSTS:
        points = {name: (COSTS[cost].of(runs[name].cost), -own[name]["accuracy"].mean)
                  for name in own}
        for name, point in points.items():
            dominated = any(
                other != point and other[0] <= point[0] and other[1] <= point[1]
                and runs[rival].test_set == runs[name].test_set
                for rival, other in points.items())
            rows.append((name, cost, COSTS[cost].unit, number(point[0]),
                         *_interval(own[name]["accuracy"]), _yes(dominated)))
    return rows
