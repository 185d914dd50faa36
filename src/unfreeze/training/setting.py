"""What all phases of a replicate share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm

from unfreeze import environment
from unfreeze.data.reading.images import Images
from unfreeze.data.reading.splits import open_pinned
from unfreeze.recipe import Recipe
from unfreeze.training.assemble import assemble, tables
from unfreeze.training.devices import Device, set_threads
from unfreeze.training.inputs import Inputs, indices
from unfreeze.training.memory import MicroBatches
from unfreeze.training.regularise import Average
from unfreeze.tuning.rules import Row


@dataclass(frozen=True)
class Setting:
    """What all phases of a replicate share.

    Attributes:
        recipe, seed: what is trained.
        device: where.
        tables: of the parts in each phase, as of `assemble.tables`.
        splits: {"train", "validation", "test": its images}, on the device; of what is not tested
            without "test".
        label: of what is printed; "": nothing is.
        model: on the device, from its start to its end.
        initial: {name: tensor} as pretrained.
        average: of the model over the steps.
        micro_batches: how its batches are divided.
    """

    recipe: Recipe
    seed: int
    device: Device
    tables: Sequence[list[Row]]
    splits: Mapping[str, Images]
    label: str
    model: torch.nn.Module
    initial: Mapping[str, torch.Tensor]
    average: Average
    micro_batches: MicroBatches

    def say(self, what: str) -> None:
        """A line of its own beside the progress bar."""
        if self.label:
            tqdm.write(f"{self.label}: {what}")


def set_up(recipe: Recipe, seed: int, device: Device, weights: Path,
           splits: Mapping[str, Images], label: str = "") -> Setting:
    """A replicate about to be trained, with the threads of its recipe from now on.

    Args:
        weights: the folder of weights.

    Raises:
        UserError: as of `assemble` and `set_threads`; or the model cannot be trained by several
            processes.
    """
    set_threads(recipe.knobs["threads"])
    model, initial = assemble(recipe, seed, weights)
    model = model.to(device.torch, memory_format=torch.channels_last)
    return Setting(recipe, seed, device, tables(recipe), splits, label, model, initial,
                   Average(model, recipe.knobs["ema"]), MicroBatches(model))


def load_images(recipe: Recipe, seed: int, device: Device, inputs: Inputs) -> dict[str, Images]:
    """{split: its images} of a replicate, on the device, as `Setting` has them. Where nothing is
    trained, only the test images are read; where nothing is tested, all but them.

    Raises:
        UserError: something is missing, or not what the recipe names.
    """
    dataset, splits = recipe.dataset, ["train", "validation", "test"]
    if not recipe.tested:
        splits.remove("test")
        dataset = replace(dataset, decoded_digests={
            split: digest for split, digest in dataset.decoded_digests.items() if split != "test"})
    stored = open_pinned(dataset, inputs.data, inputs.decoded)
    chosen = indices(recipe, seed, inputs.subsets)
    if not recipe.trains:
        stored["train"] = stored["test"]
        chosen |= {"train": [], "validation": []}
    limit = environment.resized_limit(device.memory)
    return {split: Images(*stored["test" if split == "test" else "train"], chosen[split],
                          recipe.preprocessing, device.torch, limit)
            for split in splits}
