"""recipes/RUN.yaml -> _made/runs/RUN/: the trained models, their predictions, history, costs.
Usage: train.py RUN"""

import sys
from pathlib import Path

from _source import ROOT
from unfreeze import places, recipe
from unfreeze.fingerprint import of_recipes
from unfreeze.stage import run_stage
from unfreeze.training import devices, outputs, run
from unfreeze.training.setting import Inputs
from unfreeze.training.together import launch, reduce


def main() -> None:
    (name,) = sys.argv[1:]
    file = places.RECIPES / f"{name}.yaml"
    pinned = recipe.read(file)
    of_recipes.check(file, pinned, Path(__file__), ROOT / "src")
    launch.begin(on_cpu=devices.wanted().type == "cpu")
    inputs, device = Inputs(), devices.pick()
    result = run.train(name, pinned, device, inputs)
    if reduce.rank() == 0:
        outputs.write(places.RUNS / name, pinned, result, inputs)
    launch.finish()


if __name__ == "__main__":
    run_stage(main)
