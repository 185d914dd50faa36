"""What pin hands on for each run, _made/pinned/RUN.yaml: its candidates, each with the recipe that
would be trained and tested were it chosen, and what their trials are drawn on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from unfreeze import files, places
from unfreeze import recipe as recipes
from unfreeze.errors import UserError
from unfreeze.plain import from_plain, to_plain
from unfreeze.recipe import Knobs, PinnedSubset, Recipe


@dataclass(frozen=True)
class Candidate:
    """What a run may become.

    Attributes:
        values: {knob: value} of the searched knobs, as the user wrote them or as they were drawn;
            {} where nothing is searched.
        recipe: with the run's own seeds, to be tested.
        operations: counted, of training one replicate of it: all planned epochs, forward and
            backward, a frozen prefix that may be kept once for each image and variant.
    """

    values: Knobs
    recipe: Recipe
    operations: int


@dataclass(frozen=True)
class Pinned:
    """A run before its choice.

    Attributes:
        candidates: in the order in which they are tried; one, without values, where nothing is
            searched.
        trial_seeds: {seed of a trial: its subsets, one a fold}; {} where nothing is searched.
        choose_by: the score on validation by which one is chosen.
        halving: of successive halving: the epochs of a rung are those of the next one divided by
            this, and as large a share of the trials goes on; 0: every trial is trained in full.
        operations: what the trials may take together, in the order of the candidates; None: no
            limit.
        drawn_from: {searched knob that is a number: the lowest and the highest that could have been
            drawn}; {} where candidates are listed.
    """

    candidates: tuple[Candidate, ...]
    trial_seeds: Mapping[int, tuple[PinnedSubset, ...]]
    choose_by: str
    halving: int
    operations: float | None
    drawn_from: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def searched(self) -> bool:
        return bool(self.trial_seeds)


def trial(recipe: Recipe, seed: int, subset: PinnedSubset) -> Recipe:
    """The recipe of a trial of a candidate: one seed and one fold, trained without the validation
    images of that fold and never tested.

    Args:
        recipe: of the candidate. seed: of the trial. subset: of that seed and fold.
    """
    return replace(recipe, knobs=recipe.knobs | {"train_on": "train"}, seeds={seed: subset},
                   tested=False)


def path(run: str) -> Path:
    """Where the pinned run of that name lies."""
    return places.PINNED / f"{run}.yaml"


def write(file: Path, pinned: Pinned) -> None:
    """YAML with the candidates numbered, from 0, so that each value has a line of its own."""
    content = to_plain(pinned)
    files.write_yaml(file, content | {"candidates": dict(enumerate(content["candidates"]))})


def read(file: Path) -> Pinned:
    """The pinned run in a file.

    Raises:
        UserError: it is missing, or of another version.
    """
    content = files.read_yaml(file)
    try:
        pinned = from_plain(Pinned, content | {"candidates": [*content["candidates"].values()]})
    except (TypeError, LookupError, AttributeError):
        pinned = None
    if pinned is None or not pinned.candidates:
        raise UserError(f"{file}: is no pinned run of this version of unfreeze; run `dvc repro`, "
                        "which writes it anew")
    return replace(pinned, candidates=tuple(
        replace(each, recipe=recipes.of_file(each.recipe, file)) for each in pinned.candidates))
