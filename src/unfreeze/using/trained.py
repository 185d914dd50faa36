"""The models of a trained run, how sure they may be, and what they say of pictures.

Shapes: S seeds, N pictures, C classes.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from unfreeze import environment, files, places
from unfreeze import recipe as recipes
from unfreeze.data.reading.images import Images
from unfreeze.data.reading.splits import Stored
from unfreeze.errors import UserError
from unfreeze.recipe import Recipe
from unfreeze.scoring.evaluation import failure, temperatures_of
from unfreeze.scoring.predictions import softmax
from unfreeze.training import devices, evaluation, saved
from unfreeze.training.inputs import Inputs


@dataclass(frozen=True)
class TrainedRun:
    """A run of a study that has been trained (`studies.chosen`).

    Attributes:
        study: its folder. name: of the run. recipe: of it.
    """

    study: Path
    name: str
    recipe: Recipe

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.recipe.seeds)

    @property
    def inputs(self) -> Inputs:
        """Where lies what it was trained from."""
        return Inputs(*(self.study / place for place in (
            places.DATA, places.WEIGHTS, places.SUBSETS, places.DECODED)))

    def model(self, seed: int) -> torch.nn.Module:
        """The model of a seed, bit for bit as it was when training ended, in eval mode.

        Raises:
            UserError: something is missing, damaged or does not fit.
        """
        return saved.load(self.name, seed, self.study)

    @cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """What it said of the test images and the validation images: see training/outputs.py.

        Raises:
            UserError: the file is missing or damaged, or the run diverged.
        """
        file = self.study / places.RUNS / self.name / "predictions.npz"
        arrays = files.read_arrays(file, ("seeds", "logits", "labels", "validation_logits",
                                          "validation_labels", "temperature"))
        failed = str(arrays["failed"]) if "failed" in arrays else ""
        why = failed or failure(arrays["seeds"].tolist(), arrays["logits"],
                                arrays["validation_logits"])
        if why:
            raise UserError(f"{self.name}: failed ({why}), so it has no model that could be used")
        return arrays

    def temperature(self, seed: int) -> float | None:
        """What the logits of a seed are divided by to be probabilities, as the report has it: found
        on validation images, or by the trials of a search; None where nothing tells it."""
        arrays = self.predictions
        found = temperatures_of(arrays["validation_logits"], arrays["validation_labels"],
                                float(arrays["temperature"]))
        if found is None:
            return None
        return float(found[arrays["seeds"].tolist().index(seed)])


def open_run(study: Path, name: str) -> TrainedRun:
    """A run by its name.

    Raises:
        UserError: its recipe is missing, or of another version.
    """
    return TrainedRun(study, name, recipes.read(study / places.RECIPES / f"{name}.yaml"))


class _Counted:
    """Images whose batches a bar counts; otherwise as `Images`."""

    def __init__(self, images: Images, bar: tqdm) -> None:
        self._images, self._bar = images, bar

    def __len__(self) -> int:
        return len(self._images)

    def __getattr__(self, name: str):
        return getattr(self._images, name)

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for images, labels in self._images.batches(size):
            yield images, labels
            self._bar.update(len(labels))


def logits(run: TrainedRun, seeds: Sequence[int], stored: Stored, rows: np.ndarray) -> np.ndarray:
    """What the models of some seeds say of images, computed as training computes what it says of
    the test images: with the same threads, in batches of the same size.

    Args:
        stored: images at the size that models see, or stored arrays.
        rows: (N,) which of them, in this order.

    Returns:
        (S, N, C) float32.

    Raises:
        UserError: as of `TrainedRun.model`, or of `devices.pick`.
    """
    device = devices.pick()
    recipe = run.recipe
    devices.set_threads(recipe.knobs["threads"])
    images = Images(stored, np.zeros(len(stored), np.int64), rows, recipe.preprocessing,
                    device.torch, environment.resized_limit(device.memory))
    found = []
    with tqdm(desc=f"{run.name}", total=len(seeds) * len(rows), unit=" images",
              disable=None) as bar:
        for seed in seeds:
            model = run.model(seed).to(device.torch, memory_format=torch.channels_last)
            found.append(evaluation.predict(model, _Counted(images, bar), recipe.knobs,
                                            len(recipe.classes), device).numpy())
    return np.stack(found)


def probabilities(run: TrainedRun, seeds: Sequence[int], logits: np.ndarray) -> np.ndarray:
    """(S, N, C) logits to (N, C) float64: softmax after each model's own temperature, on average.
    """
    scales = [run.temperature(seed) or 1.0 for seed in seeds]
    return np.mean([softmax(one.astype(np.float64) / scale)
                    for one, scale in zip(logits, scales, strict=True)], axis=0)


def is_scaled(run: TrainedRun) -> bool:
    """Whether the run's probabilities are scaled by a temperature."""
    found = run.temperature(run.seeds[0])
    return found is not None and math.isfinite(found)
