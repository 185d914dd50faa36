"""All replicates of a run."""

from dataclasses import dataclass

from unfreeze.errors import UserError
from unfreeze.recipe import Recipe
from unfreeze.training import cost, devices, replicate
from unfreeze.training.assemble import assemble, tables
from unfreeze.training.finished import Finished
from unfreeze.training.setting import Inputs
from unfreeze.tuning import groups


@dataclass(frozen=True)
class Result:
    """What training a run came to.

    Attributes:
        replicates: {seed: what it came to}.
        parts: (number of the phase, from 1, and the fields of `groups.HEADER`).
        cost: of `cost.of_phases`.
    """

    replicates: dict[int, Finished]
    parts: list[tuple]
    cost: dict[str, int]


def train(run: str, recipe: Recipe, device: devices.Device, inputs: Inputs) -> Result:
    """Train every replicate, and say before what trains.

    Args:
        run: its name, for what is printed.

    Raises:
        UserError: as of `replicate.train`; or the memory is full.
    """
    parts, counted = _count(run, recipe, device, inputs)
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
    return Result(replicates, parts, counted)


def _count(run: str, recipe: Recipe, device: devices.Device,
           inputs: Inputs) -> tuple[list[tuple], dict[str, int]]:
    """What trains in each phase, printed too, and what that costs."""
    model, _ = assemble(recipe, next(iter(recipe.seeds)), inputs.weights)
    parts, counts = [], []
    for number, (phase, rows) in enumerate(zip(recipe.phases, tables(recipe), strict=True), 1):
        groups.freeze(model, rows)
        table = groups.table(model, rows, phase.knobs["lr"], phase.knobs["weight_decay"])
        counts.append(cost.of_phase(model, recipe))
        parts += [(number, *row) for row in table]
        title = f", phase {number} of {len(recipe.phases)}" if len(recipe.phases) > 1 else ""
        print(f"{run} on {device.name} in {device.precision}{title}\n{groups.as_text(table)}",
              flush=True)
    return parts, cost.of_phases(counts, recipe.phases)
