"""Effects and their intervals, of runs and of differences between them."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unfreeze import files
from unfreeze.judging import claims, statistics
from unfreeze.judging.statistics import Contrast, Effect, Prior
from unfreeze.scoring.scores import SCORES


@dataclass(frozen=True)
class Run:
    """What is known of a finished run.

    Attributes:
        test_set: equal for runs that were tested on the same images in the same order.
        cost: content of cost.json.
        seeds: R of them.
        scores: {metric: (R, N)}, of each seed and test image; empty for a failed run.
        failed: why it has no scores.
    """

    test_set: Hashable
    cost: dict
    seeds: tuple[int, ...] = ()
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    failed: str | None = None

    def seed_means(self, metric: str) -> dict[int, float]:
        """{seed: mean over images}."""
        means = self.scores[metric].mean(axis=1)
        return {seed: float(mean) for seed, mean in zip(self.seeds, means, strict=True)}


def read_runs(planned: dict[str, dict], folder: Path) -> dict[str, Run]:
    """The planned runs, in that order, from what train and evaluate left in folder/RUN.

    Args:
        planned: content of plan/runs.yaml.
    """
    runs = {}
    for name, settled in planned.items():
        with np.load(folder / name / "scores/per_image.npz") as arrays:
            runs[name] = Run(
                test_set=(settled["dataset"], float(settled["test_fraction"])),
                cost=files.read_json(folder / name / "cost.json"),
                seeds=tuple(map(int, arrays["seeds"])),
                scores={metric: arrays[metric] for metric in SCORES if metric in arrays},
                failed=files.read_json(folder / name / "scores/metrics.json").get("failed"))
    return runs


@dataclass(frozen=True)
class Sum:
    """A metric of runs times coefficients, plus a constant."""

    metric: str
    coefficients: dict[str, float]
    constant: float = 0.0


def difference(metric: str, one: str, other: str) -> Sum:
    """One run less another."""
    return Sum(metric, {one: 1.0, other: -1.0})


def common_seeds(runs: Iterable[Run]) -> list[int]:
    """The seeds that all of them have, in the order of the first."""
    first, *others = runs
    return [seed for seed in first.seeds if all(seed in other.seeds for other in others)]


def effects(runs: dict[str, Run], sums: Sequence[Sum]) -> list[Effect]:
    """Estimate each sum on the seeds that its runs have in common.

    The runs of a sum must not have failed, and must have the same test set and a common seed.
    """
    priors: dict[tuple, Prior | None] = {}
    return statistics.effects([_contrast(runs, each, priors) for each in sums])


def intervals(runs: dict[str, Run]) -> dict[str, dict[str, Effect]]:
    """{run: {metric: its mean and interval}}, without the failed runs."""
    sums = [Sum(metric, {name: 1.0}) for name, run in runs.items() for metric in run.scores]
    found: dict[str, dict[str, Effect]] = {}
    for each, effect in zip(sums, effects(runs, sums), strict=True):
        (name,) = each.coefficients
        found.setdefault(name, {})[each.metric] = effect
    return found


def _contrast(runs: dict[str, Run], wanted: Sum, priors: dict[tuple, Prior | None]) -> Contrast:
    metric, coefficients = wanted.metric, wanted.coefficients
    own = [runs[name] for name in coefficients]
    seeds = common_seeds(own)
    values = wanted.constant + sum(
        factor * run.scores[metric][[run.seeds.index(seed) for seed in seeds]]
        for factor, run in zip(coefficients.values(), own, strict=True))
    # What a seed does to all runs alike stays in a sum whose coefficients do not cancel.
    cancels = abs(sum(coefficients.values())) < 1e-9
    key = metric, own[0].test_set, cancels
    if key not in priors:
        estimate = statistics.prior_of_differences if cancels else statistics.prior_of_runs
        priors[key] = estimate([run.seed_means(metric) for run in runs.values()
                                if run.test_set == own[0].test_set and metric in run.scores])
    prior = priors[key] and priors[key].scaled(sum(each**2 for each in coefficients.values()))
    return Contrast(values, prior, claims.bounds(metric, coefficients, wanted.constant),
                    paired_hits=metric in ("accuracy", "top5") and not wanted.constant
                    and sorted(coefficients.values()) == [-1, 1])
