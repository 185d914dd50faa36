"""Recipes: everything that determines a run, in one small text file, recipes/RUN.yaml.

A run is a pure function of its recipe. The words are those of params.yaml: what a knob is called
there it is called here and in the code that reads it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from unfreeze import files
from unfreeze.errors import UserError
from unfreeze.plain import from_plain, to_plain

Knobs = Mapping[str, Any]  # {name of a knob: its settled value}
INTERPOLATIONS = ("bilinear", "bicubic")


@dataclass(frozen=True)
class Phase:
    """A phase of training.

    Attributes:
        knobs: those that a phase may set (freeze, epochs, lr, lr_scale, lr_decay, weight_decay,
            schedule, warmup_epochs), and the schedule's own.
    """

    knobs: Knobs

    @property
    def trains(self) -> bool:
        """Not with `epochs: 0`, which tests a model as it is."""
        return self.knobs["epochs"] != 0  # in a plan it may be a mapping yet to be settled


@dataclass(frozen=True)
class Preprocessing:
    """From a picture to what a model sees, the same in training, testing and prediction.

    Attributes:
        image_size: side in pixels of the square that the model sees.
        resize: "square": straight to it; else pixels to which the shorter side is resized before
            the middle square is cut out, at least `image_size`.
        interpolation: one of INTERPOLATIONS, antialiased, as Pillow resizes.
        mean, std: per RGB channel, in 0..1, by which pixels are normalised at last.
    """

    image_size: int
    resize: int | str
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class PinnedDataset:
    """The images of a run.

    Attributes:
        name: of the dataset's folder. digest: its identity, of its card.
        classes: their names, in the order of the labels.
        decoded: of photos: the name of the folder where they lie decoded; "" for stored arrays.
        decoded_digests: {split: SHA-256 of the decoded photos that the run reads}.
    """

    name: str
    digest: str
    classes: tuple[str, ...]
    decoded: str = ""
    decoded_digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PinnedWeights:
    """The weights that a run starts from.

    Attributes:
        name: of their file. digest: SHA-256 over the tensors.
        own: whether they are a checkpoint of the user's and not official.
        unused: modules in the file that the model as built lacks.
    """

    name: str
    digest: str
    own: bool
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class PinnedSubset:
    """The index file of a seed: its name, and the SHA-256 of its content."""

    file: str
    digest: str


@dataclass(frozen=True)
class Chosen:
    """What a search hands on to the run whose settings it chose, besides these.

    A run that trains on its validation images too (`train_on: all`) has none left to tell when to
    stop, or how sure its model may be; the trials had.

    Attributes:
        stop_after: epochs, counted over all phases, after which training ends, at least 1; the
            schedule is that of the planned epochs all the same. None: when they are over.
        temperature: what logits are divided by to be probabilities, above 0. None: unknown.
        failed: why nothing could be chosen, one line; the run is then marked failed, and nothing is
            trained. "": a choice was made.
    """

    stop_after: int | None
    temperature: float | None
    failed: str = ""


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a run.

    Attributes:
        knobs: what training reads besides the phases: the general ones, and the own ones of the
            head and of the ways of tuning that are used. One without an effect has its default.
        augmentations: {knob: value} of the augmentations that are on, each named by its knob.
        phases: one after another, at least one.
        preprocessing: of every image.
        dataset, weights: what is read; weights are None for a start from scratch.
        seeds: {seed: its subset}, a replicate each.
        software: {library: version} of those that decide the numbers.
        code: fingerprint of the code that training reaches.
        tested: whether the trained model is tested. The test images of what is not, a trial of a
            search, are never read.
        chosen: what a search hands on besides the settings above, which it chose; None where
            nothing was searched, and for trials.
    """

    knobs: Knobs
    augmentations: Knobs
    phases: tuple[Phase, ...]
    preprocessing: Preprocessing
    dataset: PinnedDataset
    weights: PinnedWeights | None
    seeds: Mapping[int, PinnedSubset]
    software: Mapping[str, str]
    code: str
    tested: bool = True
    chosen: Chosen | None = None

    @property
    def failed(self) -> str:
        """Why the run failed before it was trained; "": it did not."""
        return self.chosen.failed if self.chosen else ""

    @property
    def stop_after(self) -> int | None:
        """Epochs after which a search has training end; None: when all are over."""
        return self.chosen.stop_after if self.chosen else None

    @property
    def trains(self) -> bool:
        """Whether anything is trained; not with `epochs: 0`."""
        return any(phase.trains for phase in self.phases)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.dataset.classes


def write(path: Path, recipe: Recipe) -> None:
    """recipes/RUN.yaml."""
    files.write_yaml(path, _content(recipe))


def read(path: Path) -> Recipe:
    """The recipe in a file.

    Raises:
        UserError: it is missing, or no recipe of this version.
    """
    content = files.read_yaml(path)
    try:
        recipe = _recipe(content)
    except TypeError:
        raise UserError(f"{path}: is no recipe of this version of unfreeze; run `dvc repro`, which "
                        "writes it anew") from None
    return of_file(recipe, path)


def of_file(recipe: Recipe, path: Path) -> Recipe:
    """The recipe, telling which file it is from when a knob is asked for that is not there."""
    phases = tuple(Phase(files.Content(phase.knobs, path)) for phase in recipe.phases)
    recipe = replace(recipe, knobs=files.Content(recipe.knobs, path), phases=phases)
    if recipe.dataset.decoded:
        digests = files.Content(recipe.dataset.decoded_digests, path)
        for split in ("train", "test") if recipe.trains else ("test",):
            digests[split]  # which of them is missing is told here
    return recipe


def _content(recipe: Recipe) -> dict:
    """A recipe as plain dicts and lists, in the order of its fields; a phase is its knobs."""
    return to_plain(recipe) | {"phases": [to_plain(phase.knobs) for phase in recipe.phases]}


def _recipe(content: Any) -> Recipe:
    """A recipe from what `_content` gives.

    Raises:
        TypeError: it is no such content.
    """
    phases = content.get("phases") if isinstance(content, dict) else None
    if not isinstance(phases, list) or not phases:
        raise TypeError("no phases")
    recipe = from_plain(Recipe, content | {"phases": [{"knobs": knobs} for knobs in phases]})
    if not recipe.seeds:
        raise TypeError("no seeds")
    return recipe


def replicate_digest(recipe: Recipe, seed: int) -> str:
    """Identity of one replicate: the recipe with one seed, so that adding a seed keeps the rest;
    and of what was chosen, how long it trains: a temperature changes no weight."""
    content = _content(recipe)
    content["seeds"] = {seed: content["seeds"][seed]}
    content["chosen"] = recipe.stop_after
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def software() -> dict[str, str]:
    """Versions of the libraries that decide the numbers; a local suffix such as +cpu left out."""
    return {name: metadata.version(name).split("+")[0] for name in ("torch", "torchvision")}
