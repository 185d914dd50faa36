"""All replicates of a run, trained."""

from unfreeze.errors import UserError
from unfreeze.recipe import Recipe
from unfreeze.training import counting, devices, replicate
from unfreeze.training.inputs import Inputs
from unfreeze.training.result import Result, label, say


def train(run: str, recipe: Recipe, device: devices.Device, inputs: Inputs) -> Result:
    """Train every replicate, and say before what trains.

    Args:
        run: its name, for what is printed.

    Raises:
        UserError: as of `replicate.train`; or the memory is full.
    """
    counted = counting.counted(recipe)
    say(run, recipe, counted, f"{device.name} in {device.precision}")
    try:
        replicates = {seed: replicate.train(recipe, seed, device, inputs, label(run, seed))
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
