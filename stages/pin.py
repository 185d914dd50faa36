"""_made/, src/ -> recipes/RUN.yaml: everything that determines a run."""

from pathlib import Path

import _source  # noqa: F401
import _utf8  # noqa: F401
from unfreeze import files, pinning, places, recipe
from unfreeze.params import plan
from unfreeze.stage import run_stage

STAGES = Path(__file__).resolve().parent


def main() -> None:
    recipes = pinning.recipes(plan.read(), STAGES / "train.py", STAGES.parent / "src")
    with files.whole_folder(places.RECIPES) as folder:
        for run, pinned in recipes.items():
            recipe.write(folder / f"{run}.yaml", pinned)
    print(f"{len(recipes)} recipes; `git diff recipes/` explains what will be trained again")


if __name__ == "__main__":
    run_stage(main)
