"""How much work training a replicate is, counted from its recipe and its index file."""

from unfreeze import places
from unfreeze.recipe import Recipe
from unfreeze.training import counting
from unfreeze.training.inputs import indices


def operations(recipe: Recipe, seed: int) -> int:
    """Of training one replicate: both passes of every epoch, what a frozen prefix puts out once for
    each image and variant.

    Raises:
        UserError: its index file is missing, or another one.
    """
    images = len(indices(recipe, seed, places.SUBSETS)["train"])
    return counting.counted(recipe).operations(images, counting.epochs_of(recipe))
