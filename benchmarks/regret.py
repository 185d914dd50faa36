"""How much the recommendation loses: simulated studies whose truly best run is known.

    regret    the true accuracy of the truly best run less that of the run that a rule takes, points
    cost      of the run that is taken, against the truly best run's (geometric mean)

A study has ten runs, whose true accuracies spread with a standard deviation of 3 points around 65.
A replicate's accuracy has a deviation of 1 point for its run and seed and of 0.7 for its seed in
all runs, and each of 2,000 test images is a hit or a miss: hits of two seeds of a run correlate by
0.36, those of two runs with the same seed by 0.54, of two runs and seeds by 0.30 (as in this
project's predictions of CIFAR-10). Costs are log-normal, with a standard deviation of 0.7 of the
logarithm (a factor of two), and their logarithms correlate by 0.4 with the true accuracies.

After a search there are five folds of 200 validation images for each of the search's seeds, and
they choose; models of two folds share no image.

Usage: python benchmarks/regret.py [--studies 1000] [--write]   (--write: docs/regret.md)
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy import special

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from unfreeze.choosing.searched import Candidate, Searched, Trial  # noqa: E402
from unfreeze.judging import budget  # noqa: E402
from unfreeze.judging.budget import Estimate  # noqa: E402
from unfreeze.judging.runs import TrainedRun  # noqa: E402

PAGE = ROOT / "docs/regret.md"
CENTRE, SPREAD = 65.0, 3.0
OWN, COMMON = 1.0, 0.7  # points
SAME_RUN, SAME_SEED, OTHER = 0.36, 0.54, 0.30  # correlations of hits
OF_COSTS, WITH_ACCURACY = 0.7, 0.4
MARGIN = 1.0


@dataclass(frozen=True)
class Setting:
    """What a study is like.

    Attributes:
        seeds: of each run. runs, images: how many. unstable: of the runs, those whose own
            deviation between seeds is five times that of the others.
        folds: after a search, of each of its `seeds`; 0: no search, test images choose.
    """

    seeds: int
    runs: int = 10
    images: int = 2000
    unstable: int = 0
    folds: int = 0

    @property
    def text(self) -> str:
        if self.folds:
            return f"after a search: {self.folds} folds of {self.images} validation images"
        unstable = f", {self.unstable} of them unstable" if self.unstable else ""
        return f"{self.runs} runs{unstable}, {self.images:,} test images"


@dataclass(frozen=True)
class Study:
    """A simulated study: its runs, and of each the true accuracy and the logarithm of its cost."""

    runs: Mapping[str, TrainedRun]
    true: np.ndarray
    log_cost: np.ndarray


def simulate(setting: Setting, random: np.random.Generator) -> Study:
    """A study of that kind."""
    true = random.normal(CENTRE, SPREAD, setting.runs)
    log_cost = OF_COSTS * (WITH_ACCURACY * (true - CENTRE) / SPREAD + np.sqrt(
        1 - WITH_ACCURACY**2) * random.normal(size=setting.runs))
    own = np.where(np.arange(setting.runs) < setting.unstable, 5 * OWN, OWN)
    models = setting.seeds * max(1, setting.folds)
    accuracy = (true[:, None] + random.normal(0, COMMON, models)
                + own[:, None] * random.normal(size=(setting.runs, models)))
    if setting.folds:
        hits = np.concatenate([drawn_hits(accuracy[:, [model]], setting.images, random)
                               for model in range(models)], axis=1)
    else:
        hits = drawn_hits(accuracy, setting.images, random)
    runs = {f"r{place}": _run(f"r{place}", values, float(np.exp(cost)), setting)
            for place, (values, cost) in enumerate(zip(hits, log_cost, strict=True))}
    return Study(runs, true, log_cost)


def drawn_hits(accuracy: np.ndarray, images: int, random: np.random.Generator) -> np.ndarray:
    """(K, R) true accuracies of replicates -> (K, R, N), 100 for a hit and 0 for a miss."""
    runs, seeds = accuracy.shape
    parts = ((_latent(OTHER), (1, 1)), (_latent(SAME_RUN) - _latent(OTHER), (runs, 1)),
             (_latent(SAME_SEED) - _latent(OTHER), (1, seeds)),
             (1 + _latent(OTHER) - _latent(SAME_RUN) - _latent(SAME_SEED), (runs, seeds)))
    latent = sum(np.float32(np.sqrt(variance)) * random.standard_normal(
        (*shape, images), dtype=np.float32) for variance, shape in parts)
    return 100.0 * (latent < special.ndtri(np.clip(accuracy / 100, 0.01, 0.99))[..., None])


@cache
def _latent(of_hits: float) -> float:
    """The correlation of two normal values whose signs, hits of 65 %, correlate like that."""
    share, (low, high) = CENTRE / 100, (0.0, 0.999)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    for _ in range(50):
        middle = (low + high) / 2
        of_one = special.ndtr((special.ndtri(share) - np.sqrt(middle) * nodes)
                              / np.sqrt(1 - middle))
        both = (weights @ of_one**2) / weights.sum()
        low, high = ((middle, high) if both - share**2 < of_hits * share * (1 - share) else
                     (low, middle))
    return low


def _run(name: str, hits: np.ndarray, cost: float, setting: Setting) -> TrainedRun:
    """A run as judging reads it. Hits after a search are of validation images: of the test images
    the study then asks nothing."""
    knobs = {"dataset": "simulated", "test_fraction": 1.0, "fraction": 1.0, "per_class": 0,
             "validation": 0.1, "search_folds": setting.folds}
    costs = {"operations": cost, "search_operations": cost, "search_seconds": 0.0,
             "seconds_per_replicate": 0.0}
    if not setting.folds:
        return TrainedRun(name, knobs, {}, costs, {}, tuple(range(setting.seeds)),
                          {"accuracy": hits})
    models = [(seed, fold) for seed in range(setting.seeds) for fold in range(setting.folds)]
    found = Searched("cross_entropy", "lower", 0, (Candidate({"lr": 0.001}, 1.0, 65.0, True),),
                     tuple(Trial(0, *model, 1, 1.0, 65.0, 1, 1, 0.0) for model in models), ())
    return TrainedRun(
        name, knobs, {}, costs, {}, (0,), {"accuracy": np.zeros((1, 1))}, searched=found, trials={
            model: {"accuracy": values} for model, values in zip(models, hits, strict=True)})


def _means(study: Study) -> np.ndarray:
    """(K,) mean scores on the images that choose."""
    return np.array([
        np.mean([values["accuracy"].mean() for values in run.trials.values()]) if run.trials else
        run.scores["accuracy"].mean() for run in study.runs.values()])


def _recommended(study: Study) -> int:
    nothing = {name: {"accuracy": Estimate(0.0, 0.0, 0.0)} for name in study.runs}
    found = budget.recommend(study.runs, {}, nothing, margin=MARGIN)
    return list(study.runs).index(found.recommended.run)


RULES: dict[str, Callable[[Study], int]] = {
    "highest mean": lambda study: int(_means(study).argmax()),
    "recommended": _recommended,
}


@dataclass(frozen=True)
class Loss:
    """What a rule loses, over studies.

    Attributes:
        regret: mean. error: its standard error. late: 95th percentile. far: share of studies in
            which it is above 3 points, in percent.
        cost: of what is taken, against the truly best run's.
    """

    regret: float
    error: float
    late: float
    far: float
    cost: float


def losses(setting: Setting, studies: int, first: int = 0) -> dict[str, Loss]:
    """{rule: what it loses}.

    Args:
        first: number of the first study; the same number is the same study.
    """
    found: dict[str, list[tuple[float, float]]] = {rule: [] for rule in RULES}
    for number in range(first, first + studies):
        study = simulate(setting, np.random.default_rng([
            number, setting.seeds, setting.runs, setting.images, setting.unstable, setting.folds]))
        best = int(study.true.argmax())
        for rule, choose in RULES.items():
            taken = choose(study)
            found[rule].append((study.true[best] - study.true[taken],
                                study.log_cost[taken] - study.log_cost[best]))
    return {rule: _loss(np.array(values)) for rule, values in found.items()}


def _loss(values: np.ndarray) -> Loss:
    regret, log_cost = values.T
    return Loss(float(regret.mean()), float(regret.std(ddof=1) / np.sqrt(len(regret))),
                float(np.quantile(regret, 0.95)), float(100 * (regret > 3).mean()),
                float(np.exp(log_cost.mean())))


SETTINGS = (*(Setting(seeds) for seeds in (1, 2, 3, 5)),
            *(Setting(seeds, images=500) for seeds in (2, 3)),
            *(Setting(seeds, runs=17) for seeds in (2, 3)),
            *(Setting(seeds, unstable=2) for seeds in (2, 3)),
            *(Setting(seeds, images=200, folds=5) for seeds in (1, 2)))


def page(studies: int) -> str:
    """docs/regret.md."""
    lines = ["# How much the recommendation loses", "",
             "Written by `python benchmarks/regret.py --write`, which says how the studies are "
             f"simulated; {studies:,} studies a row. Points of accuracy below the truly best run "
             "(standard error), and the cost of what is taken, against that run's.", "",
             "| study | seeds | highest mean | its cost | recommended | 95th percentile | "
             "over 3 points | its cost |", "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for setting in SETTINGS:
        found = losses(setting, studies)
        highest, taken = found["highest mean"], found["recommended"]
        lines.append(
            f"| {setting.text} | {setting.seeds} | {highest.regret:.2f} ({highest.error:.2f}) | "
            f"{highest.cost:.2f} | {taken.regret:.2f} ({taken.error:.2f}) | {taken.late:.1f} | "
            f"{taken.far:.0f} % | {taken.cost:.2f} |")
        print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    text = page(arguments.studies)
    if arguments.write:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
