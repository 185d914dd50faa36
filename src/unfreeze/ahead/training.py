"""A replicate trained by itself, apart from its run."""

from pathlib import Path

from unfreeze.choosing.scores import Outcome
from unfreeze.fingerprint import of_recipes
from unfreeze.recipe import Recipe
from unfreeze.training import devices, replicate
from unfreeze.training.finished import Finished
from unfreeze.training.inputs import Inputs

_SOURCE = Path(__file__).resolve().parents[2]


def train(recipe: Recipe, seed: int, label: str) -> Finished:
    """Train a replicate into the scratch folder, or find it there.

    Args:
        label: of what is printed.

    Raises:
        UserError: as of `replicate.train`; or the recipe is not of the code and software at hand.
    """
    of_recipes.check(label, recipe, _SOURCE.parent / "stages/train.py", _SOURCE)
    return replicate.train(recipe, seed, devices.pick(), Inputs(), label)


def outcome_of(recipe: Recipe, finished: Finished) -> Outcome:
    """What a choice needs of a trial."""
    return Outcome(finished.validation_logits, finished.validation_labels,
                   _kept_epoch(recipe, finished), finished.cost.seconds)


def _kept_epoch(recipe: Recipe, finished: Finished) -> int:
    """The epoch whose weights a replicate has, counted over all phases as planned: a phase that
    `patience` ended early counts whole."""
    history = finished.history
    if not history:
        return 0
    row = history[(finished.best_epoch or len(history)) - 1]
    before = sum(phase.knobs["epochs"] for phase in recipe.phases[:row["phase"] - 1])
    first = next(each["epoch"] for each in history if each["phase"] == row["phase"])
    return before + row["epoch"] - first + 1
