"""A trained run, as its search, training and evaluation left it."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unfreeze import files, places
from unfreeze.choosing import searched
from unfreeze.choosing.searched import Searched
from unfreeze.params import plan
from unfreeze.recipe import Knobs
from unfreeze.scoring.predictions import Predictions
from unfreeze.scoring.scores import SCORES, per_image

Rows = list[dict[str, str]]  # of a CSV file
Validated = Mapping[tuple[int, int], Mapping[str, np.ndarray]]  # {(seed, fold): {score: (V,)}}
NOT_SEARCHED = "not searched"


@dataclass(frozen=True)
class TrainedRun:
    """A run that has been trained, and failed perhaps.

    Attributes:
        name: in params.yaml.
        knobs, changes: of plan.Run.
        cost: content of cost.json, and what its search took: search_trials, search_operations,
            search_seconds (0 without one).
        metrics: content of scores/metrics.json.
        seeds: R of them; none of a failed run.
        scores: {score: (R, N)}, of each seed and each of N test images; empty for a failed run.
        history, calibration, movement: rows of the CSV files of these names.
        searched: what its search found.
        finals, trials: what each of V validation images said of the tested models (fold 0) and of
            the chosen trials; empty without a search, without such images, and of a failed run.
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
    searched: Searched = searched.NOTHING
    finals: Validated = field(default_factory=dict)
    trials: Validated = field(default_factory=dict)

    @property
    def failed(self) -> str | None:
        """Why it has no scores."""
        return self.metrics.get("failed")

    @property
    def settings(self) -> str:
        """At which its scores were reached: `lr 0.003 of 4 tried`."""
        if self.searched.chosen is None:
            return NOT_SEARCHED
        values = ", ".join(f"{knob} {value}" for knob, value in self.searched.values.items())
        tried = len({trial.candidate for trial in self.searched.trials})
        return f"{values} of {tried} tried"

    @property
    def test_set(self) -> Hashable:
        """Equal for runs that were tested on the same images in the same order."""
        return self.knobs["dataset"], float(self.knobs["test_fraction"])

    @property
    def validation_set(self) -> Hashable:
        """Equal for runs that hold out the same images for a seed and fold."""
        knobs = ("fraction", "per_class", "validation", "search_folds")
        return self.test_set, *(self.knobs[knob] for knob in knobs)

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
    return {name: _run(name, settled, folder) for name, settled in planned.items()}


def _run(name: str, settled: plan.Run, study: Path) -> TrainedRun:
    folder = study / places.RUNS / name
    arrays = files.read_arrays(folder / "scores/per_image.npz", ["seeds"])
    seeds = tuple(map(int, arrays["seeds"]))
    scores = {score: arrays[score] for score in SCORES if score in arrays}
    found = searched.read(name, study)
    cost = files.read_json(folder / "cost.json") | {
        "search_trials": len(found.trials), "search_operations": found.operations,
        "search_seconds": found.seconds}
    metrics = files.read_json(folder / "scores/metrics.json")
    validated = found.chosen is not None and "failed" not in metrics
    return TrainedRun(
        name, settled.knobs, settled.changes, cost, metrics, seeds, scores,
        files.read_csv(folder / "history.csv"), files.read_csv(folder / "scores/calibration.csv"),
        files.read_csv(folder / "movement.csv"), found,
        {} if "failed" in metrics else _finals(folder / "predictions.npz"),
        _trials(searched.read_validation(name, study)) if validated else {})


def _finals(file: Path) -> Validated:
    names = "seeds", "validation_logits", "validation_labels"
    arrays = files.read_arrays(file, names, rest=False)
    return {(int(seed), 0): per_image(Predictions(logits, labels))
            for seed, logits, labels in zip(*(arrays[name] for name in names), strict=True)
            if len(labels)}


def _trials(validation: searched.Validation) -> Validated:
    which = np.stack([validation.seed, validation.fold], axis=1)
    found = {}
    for seed, fold in dict.fromkeys(map(tuple, which.tolist())):
        own = (which == (seed, fold)).all(axis=1)
        found[seed, fold] = per_image(Predictions(validation.logits[own], validation.label[own]))
    return found


def common_seeds(runs: Iterable[TrainedRun]) -> list[int]:
    """The seeds that all of them have, in the order of the first."""
    first, *others = runs
    return [seed for seed in first.seeds if all(seed in other.seeds for other in others)]
