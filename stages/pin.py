"""_made/, src/ -> _made/pinned/RUN.yaml: everything that determines a run, or each of a search's
candidates."""

from pathlib import Path

import _source  # noqa: F401
import _utf8  # noqa: F401
from unfreeze import files, pinning, places
from unfreeze.choosing import leftovers, pinned, work
from unfreeze.params import plan
from unfreeze.stage import run_stage

STAGES = Path(__file__).resolve().parent


def main() -> None:
    recipes = pinning.recipes(plan.read(), STAGES / "train.py", STAGES.parent / "src")
    with files.whole_folder(places.PINNED) as folder:
        for run, recipe in recipes.items():
            seed = next(iter(recipe.seeds))
            candidate = pinned.Candidate({}, recipe, work.operations(recipe, seed))
            pinned.write(folder / f"{run}.yaml", pinned.Pinned(
                (candidate,), {}, "cross_entropy", 0, None))
    leftovers.remove(recipes)
    print(f"{len(recipes)} runs")


if __name__ == "__main__":
    run_stage(main)
