"""What training a recipe costs, counted from the recipe alone: no weights, no images and no clock
are needed, and no torch where it has been counted before.

    counted/KEY.json    in the scratch folder: what is counted of all recipes that differ only in
                        what changes no count
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unfreeze import environment, files
from unfreeze.errors import UserError
from unfreeze.plain import from_plain, to_plain
from unfreeze.recipe import Knobs, Recipe
from unfreeze.words import number as worded

# Of a line of the table of parts of a phase.
PARTS = ("part", "modules", "tune", "lr", "weight_decay", "parameters", "trained")
# Knobs that change no count; all others, known here or not, are taken to change one.
_UNCOUNTED = frozenset((
    "threads", "train_on", "class_weights", "l2_sp", "accumulate", "optimizer", "momentum",
    "decay_biases_and_norms", "label_smoothing", "clip_norm", "ema", "patience", "select"))
_UNCOUNTED_OF_A_PHASE = frozenset(("lr", "weight_decay", "schedule", "warmup_epochs"))
# {threads: operations of a step from which so many are worth it}. At 64 pixels, where a step takes
# 1e10 (MobileNetV2) to 6e10 (ResNet18), a second thread saves a tenth of the time and costs a core,
# on which another replicate trains at its full speed: each operator is too short to be shared out.
# What is shared grows with the step and what sharing costs does not, so twice as many threads pay
# where there is about ten times as much to do. Measured on two cores; the step to four is the same
# rule once more. Beyond, a machine of few cores would be the slower for it.
_THREADS_FROM = {4: 1.5e12, 2: 1.5e11}


@dataclass(frozen=True)
class Part:
    """A line of the table of parts: blocks of a part that train alike.

    Attributes:
        part: its name. modules: its blocks, in short.
        tune: how they are tuned, or "frozen".
        lr_scale: multiplier of the phase's learning rate; 0 where nothing trains.
        parameters: of them. trained: of these, how many train.
    """

    part: str
    modules: str
    tune: str
    lr_scale: float
    parameters: int
    trained: int


@dataclass(frozen=True)
class Phase:
    """Counted of a phase of training.

    Attributes:
        parts: what trains in it.
        parameters_total, parameters_trainable: of the model.
        flops_forward, flops_backward: operations of a pass of an image, as of `cost.count`.
        flops_prefix: of the forward pass, those of leading layers that put out the same for an
            image in every epoch; 0 where there are none.
        variants: in how many ways an image is seen, where `flops_prefix` is not 0.
        activation_bytes_1, activation_bytes: kept for the backward pass, of one image and of a
            batch.
    """

    parts: tuple[Part, ...]
    parameters_total: int
    parameters_trainable: int
    flops_forward: int
    flops_backward: int
    flops_prefix: int
    variants: int
    activation_bytes_1: int
    activation_bytes: int

    def operations(self, images: int, epochs: int) -> int:
        """Of training for so many epochs. What can be computed once for an image and variant counts
        so, whether or not a machine has room to keep it."""
        once = self.flops_prefix if self.variants < epochs else 0
        again = self.flops_forward - once + self.flops_backward
        return images * (self.variants * once + epochs * again)


@dataclass(frozen=True)
class Counted:
    """Counted of a recipe: a `Phase` for each of its phases."""

    phases: tuple[Phase, ...]

    def operations(self, images: int, epochs: Sequence[int]) -> int:
        """Of training one replicate: both passes of every epoch. Validation and test, which cost
        every run about the same, are not training.

        Args:
            images: that it trains on.
            epochs: of each phase.
        """
        return sum(phase.operations(images, number)
                   for phase, number in zip(self.phases, epochs, strict=True))

    def cost(self, epochs: Sequence[int]) -> dict[str, int]:
        """What cost.json has of them: memory and parameters of the phase that needs most,
        operations of the backward pass as the mean over all epochs.

        Args:
            epochs: of each phase, as planned.
        """
        backward = sum(number * phase.flops_backward
                       for phase, number in zip(self.phases, epochs, strict=True))
        return {
            "parameters_total": max(phase.parameters_total for phase in self.phases),
            "parameters_trainable": max(phase.parameters_trainable for phase in self.phases),
            "flops_forward": max(phase.flops_forward for phase in self.phases),
            "activation_bytes_1": max(phase.activation_bytes_1 for phase in self.phases),
            "activation_bytes": max(phase.activation_bytes for phase in self.phases),
            "flops_backward": round(backward / max(1, sum(epochs)))}

    def step_operations(self, batch_size: int) -> int:
        """Of a step of `batch_size` images, in the phase where it takes most."""
        return batch_size * max(phase.flops_forward + phase.flops_backward
                                for phase in self.phases)


def epochs_of(recipe: Recipe) -> list[int]:
    """Of each phase, as planned; fewer where a choice ends training before."""
    left, epochs = recipe.stop_after, [phase.knobs["epochs"] for phase in recipe.phases]
    if left is None:
        return epochs
    return [max(0, min(number, left - sum(epochs[:place])))
            for place, number in enumerate(epochs)]


def operations(counted: Counted, recipe: Recipe, history: Sequence[Mapping[str, Any]],
               images: int) -> int:
    """Of the epochs that a replicate trained, which patience may have made fewer.

    Args:
        history: of the replicate. images: that it trained on in an epoch.
    """
    phases = [row["phase"] for row in history]
    return counted.operations(images, [phases.count(number)
                                       for number in range(1, len(recipe.phases) + 1)])


def parts(counted: Counted, recipe: Recipe) -> list[list[tuple]]:
    """What trains in each phase of a recipe: tuples with the fields of PARTS."""
    return [[(part.part, part.modules, part.tune, phase.knobs["lr"] * part.lr_scale,
              phase.knobs["weight_decay"] if part.lr_scale else 0.0, part.parameters, part.trained)
             for part in of_phase.parts]
            for of_phase, phase in zip(counted.phases, recipe.phases, strict=True)]


def as_text(lines: Iterable[tuple]) -> str:
    """What trains in a phase, with aligned columns."""
    cells = [PARTS, *((part, modules, tune, f"{worded(lr)}", f"{worded(decay)}", f"{count:,}",
                       f"{trained:,}")
                      for part, modules, tune, lr, decay, count, trained in lines)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(PARTS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def threads_for(step_operations: int) -> int:
    """The number of threads that a replicate with such steps trains with: a rule on counted work
    alone, since another number gives other last bits, and must not depend on the machine."""
    return next((threads for threads, least in _THREADS_FROM.items()
                 if step_operations >= least), 1)


def with_threads(recipe: Recipe) -> Recipe:
    """A recipe whose `threads: auto` is the number that the rule gives."""
    if recipe.knobs["threads"] != "auto":
        return recipe
    threads = threads_for(counted(recipe).step_operations(recipe.knobs["batch_size"]))
    return replace(recipe, knobs={**recipe.knobs, "threads": threads})


def counted(recipe: Recipe) -> Counted:
    """What is counted of a recipe. Its number of threads, epochs and learning rates, images and
    seeds need not be settled yet.

    Raises:
        UserError: the head or the tuning method has no place in the model.
    """
    file = _file(_key(recipe))
    known = _read(file)
    if known is None:
        from unfreeze.training import cost  # here, since it imports torch

        known = cost.of_recipe(recipe)
        files.write_json(file, to_plain(known))
    return known


def uncounted(recipes: Iterable[Recipe]) -> list[Recipe]:
    """One of each kind of recipe that has not been counted before."""
    kinds = {_key(recipe): recipe for recipe in recipes}
    return [recipe for key, recipe in kinds.items() if _read(_file(key)) is None]


def _file(key: str) -> Path:
    return environment.scratch() / "counted" / f"{key}.json"


def _key(recipe: Recipe) -> str:
    """Of all that a count depends on."""
    content = {
        "knobs": _without(recipe.knobs, _UNCOUNTED),
        "augmentations": recipe.augmentations,
        "phases": [_without(phase.knobs, _UNCOUNTED_OF_A_PHASE) | {"epochs": phase.trains}
                   for phase in recipe.phases],
        "image_size": recipe.preprocessing.image_size,
        "classes": len(recipe.classes),
        "scratch": recipe.weights is None,
        "software": recipe.software,
        "code": recipe.code}
    return hashlib.sha256(json.dumps(to_plain(content), sort_keys=True).encode()).hexdigest()


def _without(knobs: Knobs, names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in knobs.items() if name not in names}


def _read(file: Path) -> Counted | None:
    """What a file holds; None where there is none, or it is damaged or of another version."""
    try:
        return from_plain(Counted, files.read_json(file))
    except (UserError, TypeError):
        return None
