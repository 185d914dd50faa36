"""Effects and their intervals, of runs and of differences between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unfreeze.expecting import claims
from unfreeze.judging import statistics
from unfreeze.judging.runs import TrainedRun
from unfreeze.judging.statistics import Contrast, Effect, Sample, Scores
from unfreeze.scoring.scores import SCORES

Intervals = Mapping[str, Mapping[str, Effect]]  # {run: {score: its mean and interval}}


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
    """Estimate each sum, every run by all of its seeds.

    The runs of a sum must not have failed, and must have the same test set.
    """
    return [sample.effect for sample in samples(runs, sums)]


def samples(runs: Mapping[str, TrainedRun], sums: Sequence[Sum]) -> list[Sample]:
    """The effects with their joint draws."""
    scores: dict[tuple, Scores] = {}
    return statistics.samples([_contrast(runs, wanted, scores) for wanted in sums])


def intervals(runs: Mapping[str, TrainedRun]) -> dict[str, dict[str, Effect]]:
    """Of every run and each of its scores, without the failed runs."""
    sums = [Sum(score, {name: 1.0}) for name, run in runs.items() for score in run.scores]
    by_run: dict[str, dict[str, Effect]] = {}
    for single, effect in zip(sums, effects(runs, sums), strict=True):
        (name,) = single.coefficients
        by_run.setdefault(name, {})[single.score] = effect
    return by_run


def _contrast(runs: Mapping[str, TrainedRun], wanted: Sum,
              scores: dict[tuple, Scores]) -> Contrast:
    """
    Args:
        scores: {(score, test set)} of those made so far, which grows.
    """
    score, coefficients = wanted.score, wanted.coefficients
    test_set = runs[next(iter(coefficients))].test_set
    if (score, test_set) not in scores:
        alike = {name: run for name, run in runs.items()
                 if run.test_set == test_set and score in run.scores}
        scores[score, test_set] = Scores({name: run.scores[score] for name, run in alike.items()},
                                         {name: run.seeds for name, run in alike.items()})
    return Contrast(scores[score, test_set], coefficients, wanted.constant,
                    claims.bounds(score, dict(coefficients), wanted.constant),
                    paired_hits=SCORES[score].hits and not wanted.constant
                    and sorted(coefficients.values()) == [-1, 1])
