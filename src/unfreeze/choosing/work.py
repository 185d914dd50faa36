"""How much work training a replicate is, counted from its recipe and its index file."""

from unfreeze import files, places
from unfreeze.errors import UserError
from unfreeze.recipe import PinnedSubset, Recipe
from unfreeze.training import counting


def operations(recipe: Recipe, seed: int) -> int:
    """Of training one replicate: both passes of every epoch, what a frozen prefix puts out once for
    each image and variant.

    Raises:
        UserError: its index file is missing, or another one.
    """
    split = indices(recipe.seeds[seed])
    images = len(split["train"])
    if recipe.knobs["train_on"] == "all":
        images += len(split["validation"])
    return counting.counted(recipe).operations(images, counting.epochs_of(recipe))


def indices(subset: PinnedSubset) -> dict[str, list[int]]:
    """{split: indices of its images} of an index file that a recipe names.

    Raises:
        UserError: it is missing, or another one.
    """
    file = places.SUBSETS / subset.file
    if not file.is_file() or files.file_digest(file) != subset.digest:
        raise UserError(f"{file}: missing, or not the subset that the recipe names (digest "
                        f"{subset.digest[:12]}...); run `dvc repro`")
    return files.read_json(file)
