"""Is what recipes were made of what lies here? What is trained is kept by what its recipe says."""

from collections.abc import Iterable
from pathlib import Path

from unfreeze.errors import UserError
from unfreeze.fingerprint import of_recipes
from unfreeze.recipe import Recipe

_SOURCE = Path(__file__).resolve().parents[2]
_TRAIN = _SOURCE.parent / "stages" / "train.py"


def check(file: Path, recipes: Iterable[Recipe]) -> None:
    """Compare software and code of recipes with what is at hand.

    Args:
        file: that holds them.

    Raises:
        UserError: as of `of_recipes.check`.
    """
    for recipe in {recipe.code: recipe for recipe in recipes}.values():
        of_recipes.check(file, recipe, _TRAIN, _SOURCE)


def is_at_hand(file: Path, recipes: Iterable[Recipe]) -> bool:
    """Whether `check` finds nothing."""
    try:
        check(file, recipes)
    except UserError:
        return False
    return True
