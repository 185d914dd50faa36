"""All replicates of a run."""

from dataclasses import dataclass

from unfreeze.errors import UserError
from unfreeze.recipe import Recipe
from unfreeze.training import counting, devices, replicate
from unfreeze.training.counting import Counted
from unfreeze.training.finished import Finished
from unfreeze.training.setting import Inputs
from unfreeze.tuning import groups


@dataclass(frozen=True)
class Result:
    """What training a run came to.

    Attributes:
        replicates: {seed: what it came to}.
        counted: of the recipe.
    """

    replicates: dict[int, Finished]
    counted: Counted


def train(run: str, recipe: Recipe, device: devices.Device, inputs: Inputs) -> Result:
    """Train every replicate, and say before what trains.

    Args:
        run: its name, for what is printed.

    Raises:
        UserError: as of `replicate.train`; or the memory is full.
    """
    counted = counting.counted(recipe)
    _say(run, recipe, counted, device)
    try:
        replicates = {seed: replicate.train(recipe, seed, device, inputs, f"{run} seed {seed}")
                      for seed in recipe.seeds}
    except RuntimeError as error:
        if not devices.memory_is_full(error):
            raise
        raise UserError(
            f"{run}: the memory of {device.name} is full, and batches in smaller pieces are no "
            "help (BatchNorm takes its statistics over a batch, a piece is one image already, or "
            "memory is full of something else); choose a smaller batch_size (and a larger "
            "accumulate) or image_size in params.yaml, or set UNFREEZE_RESIZED_GB=0") from None
    return Result(replicates, counted)


def _say(run: str, recipe: Recipe, counted: Counted, device: devices.Device) -> None:
    """What trains in each phase."""
    for number, rows in enumerate(counting.parts(counted, recipe), 1):
        title = f", phase {number} of {len(recipe.phases)}" if len(recipe.phases) > 1 else ""
        print(f"{run} on {device.name} in {device.precision}{title}\n{groups.as_text(rows)}",
              flush=True)
