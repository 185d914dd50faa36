"""What the search of a run found, as tables and the recommendation read it.

    _made/searched/RUN.json   `Searched`
    _made/searched/RUN.npz    `Validation`: what the chosen trials said of validation images

Scores are in the unit of `choose_by`, accuracies in percent. What was measured (seconds) must not
get into tracked files. No torch.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from unfreeze import files, places
from unfreeze.errors import UserError
from unfreeze.plain import from_plain, to_plain

Values = Mapping[str, Any]  # {searched knob: its value}, as in params.yaml


@dataclass(frozen=True)
class Trial:
    """A trial that was trained.

    Attributes:
        candidate: its place among those of the search, from 0.
        seed, fold: which images it was trained and validated on; folds count from 0.
        epochs: planned, of all phases; fewer than the candidate's where halving stopped it early.
        score: on its validation images, by what the choice goes by, after scaling by the
            candidate's temperature where that is a probability's score; None: it diverged.
        accuracy: on its validation images; None: it diverged.
        best_epoch: the one whose weights are kept, of all phases, from 1.
        operations: counted, of training it.
        seconds: measured, of processor time on a CPU.
    """

    candidate: int
    seed: int
    fold: int
    epochs: int
    score: float | None
    accuracy: float | None
    best_epoch: int
    operations: int
    seconds: float


@dataclass(frozen=True)
class Candidate:
    """Settings that were tried.

    Attributes:
        values: of the searched knobs.
        score, accuracy: means over its trials with the most epochs; None: one diverged, or it was
            not tried, since `operations` allowed no more.
        trained_fully: whether it got as far as all of its epochs, so that it could be chosen.
    """

    values: Values
    score: float | None
    accuracy: float | None
    trained_fully: bool


@dataclass(frozen=True)
class Searched:
    """The search of a run.

    Attributes:
        choose_by: the score by which it chose. better: which values are: "higher" or "lower".
        chosen: the place of the chosen candidate; None: nothing was searched, or all diverged.
        candidates: in the order in which they are tried; () where nothing was searched.
        trials: in the order in which they were wanted; () where nothing was searched.
        edges: a sentence for each searched knob whose choice lies at the end of what was tried.
    """

    choose_by: str
    better: str
    chosen: int | None
    candidates: tuple[Candidate, ...]
    trials: tuple[Trial, ...]
    edges: tuple[str, ...]

    @property
    def searched(self) -> bool:
        return bool(self.candidates)

    @property
    def values(self) -> Values:
        """The settings that were chosen; {} where nothing was."""
        return {} if self.chosen is None else self.candidates[self.chosen].values

    @property
    def operations(self) -> int:
        """Counted, of all trials: the cost search_operations."""
        return sum(trial.operations for trial in self.trials)

    @property
    def seconds(self) -> float:
        """Measured, of all trials: the cost search_seconds."""
        return sum(trial.seconds for trial in self.trials)


@dataclass(frozen=True)
class Validation:
    """What the trials of the chosen candidate said of their validation images, one after another;
    all empty where nothing was chosen. V images in all, C classes.

    Attributes:
        seed, fold: (V,) int64, of the trial.
        image: (V,) int64, its index in the training split: the same seed and fold of two runs with
            one subset have the same images.
        label: (V,) int64.
        logits: (V, C) float32, not scaled. temperature: by which the choice divides them.
    """

    seed: np.ndarray
    fold: np.ndarray
    image: np.ndarray
    label: np.ndarray
    logits: np.ndarray
    temperature: float


NOTHING = Searched("", "lower", None, (), (), ())  # of a run that searches nothing


def nothing(classes: int) -> Validation:
    none = np.zeros(0, np.int64)
    return Validation(none, none, none, none, np.zeros((0, classes), np.float32), 1.0)


def write(run: str, searched: Searched, validation: Validation, folder: Path = Path(".")) -> None:
    """Both files of a run.

    Args:
        folder: of the study.
    """
    files.write_json(folder / places.SEARCHED / f"{run}.json", to_plain(searched))
    content = io.BytesIO()
    np.savez(content, **{each.name: getattr(validation, each.name) for each in fields(validation)})
    files.write_bytes(folder / places.SEARCHED / f"{run}.npz", content.getvalue())


def read(run: str, folder: Path = Path(".")) -> Searched:
    """What the search of a run found.

    Raises:
        UserError: the file is missing, or of another version.
    """
    path = folder / places.SEARCHED / f"{run}.json"
    try:
        return from_plain(Searched, files.read_json(path))
    except TypeError:
        raise UserError(f"{path}: is missing or not of this version of unfreeze; run `dvc repro`, "
                        "which writes it") from None


def read_validation(run: str, folder: Path = Path(".")) -> Validation:
    """What the chosen trials of a run said of validation images.

    Raises:
        UserError: the file is missing, or of another version.
    """
    arrays = files.read_arrays(folder / places.SEARCHED / f"{run}.npz",
                               [each.name for each in fields(Validation)])
    return Validation(**arrays | {"temperature": float(arrays["temperature"])})
