"""A trained run, as training and evaluation left it."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unfreeze import files, places
from unfreeze.params import plan
from unfreeze.recipe import Knobs
from unfreeze.scoring.scores import SCORES

Rows = list[dict[str, str]]  # of a CSV file


@dataclass(frozen=True)
class TrainedRun:
    """A run that has been trained, and failed perhaps.

    Attributes:
        name: in params.yaml.
        knobs, changes: of plan.Run.
        cost: content of cost.json.
        metrics: content of scores/metrics.json.
        seeds: R of them; none of a failed run.
        scores: {score: (R, N)}, of each seed and each of N test images; empty for a failed run.
        history, calibration, movement: rows of the CSV files of these names.
    """

    name: str
    knobs: Knobs
    changes: Knobs
    cost: dict
    metrics: dict
    seeds: tuple[int, ...] = ()
    scores: Mapping[str, np.ndarray] = field(default_factory=dict)
    history: Rows = field(default_factory=list)
    calibration: Rows = field(default_factory=list)
    movement: Rows = field(default_factory=list)

    @property
    def failed(self) -> str | None:
        """Why it has no scores."""
        return self.metrics.get("failed")

    @property
    def test_set(self) -> Hashable:
        """Equal for runs that were tested on the same images in the same order."""
        return self.knobs["dataset"], float(self.knobs["test_fraction"])

    @property
    def means(self) -> dict[str, dict]:
        """{score: spread over seeds, as of scoring.evaluation}, those after temperature scaling
        included."""
        return {name: score for name, score in self.metrics.items()
                if isinstance(score, dict) and "mean" in score}

    def seed_means(self, score: str) -> dict[int, float]:
        """{seed: mean over images}."""
        means = self.scores[score].mean(axis=1)
        return {seed: float(mean) for seed, mean in zip(self.seeds, means, strict=True)}


def read(planned: Mapping[str, plan.Run], folder: Path = Path(".")) -> dict[str, TrainedRun]:
    """The planned runs, in that order, from what lies in a study's folder."""
    return {name: _run(name, settled, folder / places.RUNS / name)
            for name, settled in planned.items()}


def _run(name: str, settled: plan.Run, folder: Path) -> TrainedRun:
    arrays = files.read_arrays(folder / "scores/per_image.npz", ["seeds"])
    seeds = tuple(map(int, arrays["seeds"]))
    scores = {score: arrays[score] for score in SCORES if score in arrays}
    return TrainedRun(
        name, settled.knobs, settled.changes, files.read_json(folder / "cost.json"),
        files.read_json(folder / "scores/metrics.json"), seeds, scores,
        files.read_csv(folder / "history.csv"), files.read_csv(folder / "scores/calibration.csv"),
        files.read_csv(folder / "movement.csv"))


def common_seeds(runs: Iterable[TrainedRun]) -> list[int]:
    """The seeds that all of them have, in the order of the first."""
    first, *others = runs
    return [seed for seed in first.seeds if all(seed in other.seeds for other in others)]
