"""What one replicate came to, and how the scratch folder keeps it. No torch."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from unfreeze.recipe import Recipe

# Of a row of a history. lr is that of the last step.
HISTORY = ("epoch", "phase", "lr", "train_loss", "train_accuracy", "validation_loss",
           "validation_accuracy", "seconds")
# Of a row of how far its parts have moved.
MOVEMENT = ("part", "parameters", "distance", "relative_distance")
FINISHED_BEFORE = "finished before, taken from the scratch folder"
_ARRAYS = ("logits", "validation_logits", "validation_labels")
_IN_MODEL = "model/"  # before the names of the model's tensors

# The largest value that anybody has use for, of knobs by which training may diverge.
_USUAL = {"lr": 1.0, "lr_scale": 100.0, "weight_decay": 1.0, "l2_sp": 1.0}
_USUAL_ELSE = 1e6  # of any other knob, such as those of plugins


@dataclass(frozen=True)
class Cost:
    """What training a replicate took.

    Attributes:
        seconds: of training: of processor time, or of time on a GPU.
        images: that training looked at, each as often as it did.
        peak_memory_bytes: of the process, or of the GPU.
        device, precision: where and how it was trained, as of `Device`.
    """

    seconds: float
    images: int
    peak_memory_bytes: int
    device: str
    precision: str


@dataclass(frozen=True)
class Finished:
    """A replicate with no epoch left.

    Attributes:
        model: {name: array} of those tensors that differ from the pretrained ones; {} where nothing
            is tested.
        logits: (N, classes) float32, of the test images; N is 0 where nothing is tested.
        validation_logits: (V, classes) float32, of the validation images, V perhaps 0.
        validation_labels: (V,) int64.
        best_epoch: the epoch whose weights it has, from 1; None: the last.
        history: a row an epoch with the fields of HISTORY.
        movement: rows with the fields of MOVEMENT; [] where nothing is tested.
        cost: what it took.
        diverged: None; or how training went wrong (the loss or a logit is not finite): it stopped
            after that epoch, and all logits are NaN. So they are where nothing was trained, since
            a search could choose nothing.
    """

    model: Mapping[str, np.ndarray]
    logits: np.ndarray
    validation_logits: np.ndarray
    validation_labels: np.ndarray
    best_epoch: int | None
    history: Sequence[Mapping[str, Any]]
    movement: Sequence[tuple]
    cost: Cost
    diverged: str | None

    def to_bytes(self) -> bytes:
        """As the scratch folder keeps it: a file of safetensors, whose "rest" is JSON."""
        rest = {"best_epoch": self.best_epoch, "history": self.history, "movement": self.movement,
                "cost": asdict(self.cost), "diverged": self.diverged}
        arrays = dict(zip(_ARRAYS, (self.logits, self.validation_logits, self.validation_labels),
                          strict=True))
        return save(arrays | {f"{_IN_MODEL}{name}": array for name, array in self.model.items()}
                    | {"rest": np.frombuffer(json.dumps(rest).encode(), np.uint8)})

    @classmethod
    def from_bytes(cls, content: bytes) -> "Finished | None":
        """From what `to_bytes` gave; None: it is that of another version."""
        try:
            arrays = load(content)
            rest = json.loads(arrays.pop("rest").tobytes())
            own = {name: arrays.pop(name) for name in _ARRAYS}
            rest |= {"cost": Cost(**rest["cost"]), "movement": [*map(tuple, rest["movement"])]}
            return cls(model={name.removeprefix(_IN_MODEL): array
                              for name, array in arrays.items()}, **own, **rest)
        except (SafetensorError, KeyError, TypeError, ValueError):
            return None

    def warn(self, label: str, recipe: Recipe) -> None:
        """A line on standard error where training diverged, or there was none.

        Args:
            label: of the replicate. recipe: of its run.
        """
        if not self.diverged:
            return
        failed = "the run is marked failed"
        if not self.history:
            what = f"{self.diverged}; {failed}"
        else:
            knob, value = _suspect(recipe, self.history[-1]["phase"])
            what = f"training diverged ({self.diverged}); {knob}: {value} is too high " + (
                f"for this run, choose a lower one in params.yaml; {failed}" if recipe.tested else
                "for it, and this trial will not be chosen")
        print(f"warning: {label}: {what}", file=sys.stderr, flush=True)


def _suspect(recipe: Recipe, phase: int) -> tuple[str, Any]:
    """The knob that stands out most among those by which training may diverge, and its value; where
    none does it is the learning rate.

    Args:
        phase: in which training diverged, from 1.
    """
    knobs = {**recipe.knobs, **recipe.phases[phase - 1].knobs}
    largest = {name: max(value.values(), default=0) if name == "lr_scale" else value
               for name, value in knobs.items()}
    beyond = {name: value / _USUAL.get(name, _USUAL_ELSE) for name, value in largest.items()
              if isinstance(value, int | float)}
    name = max(beyond, key=beyond.__getitem__)
    name = name if beyond[name] > 1 else "lr"
    return name, knobs[name]
