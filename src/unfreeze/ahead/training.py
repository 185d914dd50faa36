"""A replicate trained by itself, apart from its run."""

from pathlib import Path

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
