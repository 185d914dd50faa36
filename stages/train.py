"""recipes/RUN.yaml -> _made/runs/RUN/: the trained models, their predictions, history, costs.
Usage: train.py RUN"""

import sys
from pathlib import Path

from _source import ROOT
from unfreeze import places, recipe
from unfreeze.fingerprint import of_recipes
from unfreeze.stage import run_stage
from unfreeze.training import outputs, result
from unfreeze.training.inputs import Inputs


def main() -> None:
    (name,) = sys.argv[1:]
    file = places.RECIPES / f"{name}.yaml"
    pinned = recipe.read(file)
    of_recipes.check(file, pinned, Path(__file__), ROOT / "src")
    known = result.kept(name, pinned)
    if known:
        outputs.write(places.RUNS / name, pinned, known, Inputs())
    else:
        train(name, pinned)


def train(name: str, pinned: recipe.Recipe) -> None:
    # Here, since they import torch: seconds, which a run that is in the scratch folder need not.
    from unfreeze.training import devices, run
    from unfreeze.training.together import launch, reduce

    launch.begin(on_cpu=devices.wanted().type == "cpu")
    trained = run.train(name, pinned, devices.pick(), Inputs())
    if reduce.rank() == 0:
        outputs.write(places.RUNS / name, pinned, trained, Inputs())
    launch.finish()


if __name__ == "__main__":
    run_stage(main)
