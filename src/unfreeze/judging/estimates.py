"""Effects and their intervals, of runs and of differences between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unfreeze.expecting import claims
from unfreeze.judging import statistics
from unfreeze.judging.runs import TrainedRun, common_seeds
from unfreeze.judging.statistics import Contrast, Effect, Prior
from unfreeze.scoring.scores import SCORES

Intervals = Mapping[str, Mapping[str, Effect]]  # {run: {score: its mean and interval}}
Priors = dict[tuple, Prior | None]


@dataclass(frozen=True)
class Sum:
    """A score of runs times coefficients, plus a constant."""

    score: str
    coefficients: Mapping[str, float]
    constant: float = 0.0


def difference(score: str, run: str, less: str) -> Sum:
    """A run less another."""
    return Sum(score, {run: 1.0, less: -1.0})


def effects(runs: Mapping[str, TrainedRun], sums: Sequence[Sum]) -> list[Effect]:
    """Estimate each sum on the seeds that its runs have in common.

    The runs of a sum must not have failed, and must have the same test set and a common seed.
    """
    priors: Priors = {}
    return statistics.effects([_contrast(runs, wanted, priors) for wanted in sums])


def intervals(runs: Mapping[str, TrainedRun]) -> dict[str, dict[str, Effect]]:
    """Of every run and each of its scores, without the failed runs."""
    sums = [Sum(score, {name: 1.0}) for name, run in runs.items() for score in run.scores]
    by_run: dict[str, dict[str, Effect]] = {}
    for single, effect in zip(sums, effects(runs, sums), strict=True):
        (name,) = single.coefficients
        by_run.setdefault(name, {})[single.score] = effect
    return by_run


def _contrast(runs: Mapping[str, TrainedRun], wanted: Sum, priors: Priors) -> Contrast:
    score, coefficients = wanted.score, wanted.coefficients
    summed = [runs[name] for name in coefficients]
    seeds = common_seeds(summed)
    values = wanted.constant + sum(
        factor * run.scores[score][[run.seeds.index(seed) for seed in seeds]]
        for factor, run in zip(coefficients.values(), summed, strict=True))
    # What a seed does to all runs alike stays in a sum whose coefficients do not cancel.
    cancels = abs(sum(coefficients.values())) < 1e-9
    test_set = summed[0].test_set
    if (score, test_set, cancels) not in priors:
        estimate = statistics.prior_of_differences if cancels else statistics.prior_of_runs
        priors[score, test_set, cancels] = estimate([
            run.seed_means(score) for run in runs.values()
            if run.test_set == test_set and score in run.scores])
    prior = priors[score, test_set, cancels]
    if prior:
        prior = prior.scaled(sum(factor**2 for factor in coefficients.values()))
    return Contrast(values, prior, claims.bounds(score, coefficients, wanted.constant),
                    paired_hits=SCORES[score].hits and not wanted.constant
                    and sorted(coefficients.values()) == [-1, 1])
