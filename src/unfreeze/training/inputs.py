"""Where a recipe's inputs lie, and which images of them are a replicate's. No torch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unfreeze import files, places
from unfreeze.data.reading import arrays
from unfreeze.errors import UserError
from unfreeze.recipe import Recipe


@dataclass(frozen=True)
class Inputs:
    """The folders that a recipe's digests refer to."""

    data: Path = places.DATA
    weights: Path = places.WEIGHTS
    subsets: Path = places.SUBSETS
    decoded: Path = places.DECODED


def indices(recipe: Recipe, seed: int, subsets: Path) -> dict[str, list[int]]:
    """{split: indices of its images} of a replicate. With `train_on: all` the images that the
    subset holds out are trained on too, and none is left to validate on.

    Args:
        seed: one of the recipe's.
        subsets: the folder of index files.

    Raises:
        UserError: the file is missing or not the one that the recipe names.
    """
    subset = recipe.seeds[seed]
    file = subsets / subset.file
    if not file.is_file() or files.file_digest(file) != subset.digest:
        raise UserError(f"{file}: missing, or not the subset that the recipe names (digest "
                        f"{subset.digest[:12]}...); run `dvc repro`")
    found = files.read_json(file)
    if recipe.knobs["train_on"] == "all":
        found |= {"train": found["train"] + found["validation"], "validation": []}
    return found


def test_labels(recipe: Recipe, inputs: Inputs) -> np.ndarray:
    """(N,) int64, the true classes of the test images; the same for every seed."""
    labels = arrays.load_labels(inputs.data / recipe.dataset.name)
    seed = next(iter(recipe.seeds))
    return np.asarray(labels["test"][indices(recipe, seed, inputs.subsets)["test"]])
