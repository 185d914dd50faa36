"""recipes/RUN.yaml -> _made/runs/RUN/: the trained models, their predictions, history, costs.
Usage: train.py RUN"""

import sys

import _source  # noqa: F401
from unfreeze import places, recipe
from unfreeze.stage import run_stage
from unfreeze.training import devices, outputs, run
from unfreeze.training.setting import Inputs
from unfreeze.training.together import launch, reduce


def main() -> None:
    (name,) = sys.argv[1:]
    pinned = recipe.read(places.RECIPES / f"{name}.yaml")
    launch.begin(on_cpu=devices.wanted().type == "cpu")
    inputs, device = Inputs(), devices.pick()
    result = run.train(name, pinned, device, inputs)
    if reduce.rank() == 0:
        outputs.write(places.RUNS / name, pinned, result, inputs)
    launch.finish()


if __name__ == "__main__":
    run_stage(main)
