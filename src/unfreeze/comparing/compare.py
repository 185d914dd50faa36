"""Two runs of one model side by side: their tensors, and what their parts put out."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from unfreeze import environment, files, places, recipe
from unfreeze.comparing import similarity
from unfreeze.data.reading.images import Images
from unfreeze.data.reading.splits import open_pinned
from unfreeze.errors import UserError
from unfreeze.models.facts import is_within
from unfreeze.recipe import Recipe
from unfreeze.training import assemble, inputs, saved
from unfreeze.training.devices import Device, set_threads
from unfreeze.tuning import groups, methods
from unfreeze.tuning.rules import Row

IMAGES = 500
BATCH_SIZE = 100


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        model: in eval mode; its weights hold what a method added to them.
        parts: the table of its parts.
    """

    model: torch.nn.Module
    parts: list[Row]


def load(run: str, pinned: Recipe, seed: int, root: Path) -> Trained:
    """The model that a run left behind.

    Args:
        run: its name. pinned: its recipe. root: the study's folder.
    """
    model, tables = saved.load(run, seed, root), assemble.tables(pinned)
    groups.merge(model, tables)
    return Trained(model, tables[0])


def compare(first: str, second: str, device: Device, root: Path = Path(".")) -> list[tuple]:
    """All measures of two runs, for every seed that both have.

    Args:
        first, second: runs of the same model in the project at `root`, reproduced.
        device: where the models look at the images, in fp32.

    Returns:
        Rows with the fields of similarity.HEADER.

    Raises:
        UserError: the runs share no seed, or something is missing or damaged.
    """
    recipes = {run: recipe.read(root / places.RECIPES / f"{run}.yaml") for run in (first, second)}
    seeds = [seed for seed in recipes[first].seeds if seed in recipes[second].seeds]
    if not seeds:
        theirs = " and ".join(str(list(pinned.seeds)) for pinned in recipes.values())
        raise UserError(f"compare: {first} and {second} have no seed in common ({theirs}); give "
                        "them one in params.yaml")
    # The last bits depend on it, and should not on this machine.
    set_threads(max(pinned.knobs["threads"] for pinned in recipes.values()))
    rows = []
    for seed in seeds:
        tensors, outputs, distances = {}, {}, []
        for run, pinned in recipes.items():
            trained = load(run, pinned, seed, root)
            tensors[run] = parameters(trained)
            distances += similarity.distance_rows(
                seed, run, files.read_csv(root / places.RUNS / run / "movement.csv"))
            images = _images(recipes[first], pinned, seed, device, root)
            outputs[run] = activations(trained, images, device)
        rows += similarity.cosine_rows(seed, tensors[first], tensors[second])
        rows += similarity.cka_rows(seed, outputs[first], outputs[second])
        rows += distances
    return rows


def parameters(trained: Trained) -> similarity.Tensors:
    """{part: {name: array}}, stem to head, without what a method has added."""
    tensors: similarity.Tensors = {row.part: {} for row in trained.parts}
    added = [path for path, _ in methods.added(trained.model)]
    for name, row in groups.assign(trained.model, trained.parts).items():
        if not is_within(name, added):
            tensors[row.part][name] = trained.model.get_parameter(name).detach().numpy()
    return tensors


@torch.inference_mode()
def activations(trained: Trained, images: Images, device: Device) -> dict[str, np.ndarray]:
    """{part: (N, D)}: what the last module of each part puts out, averaged over space or tokens."""
    modules = dict(trained.model.named_modules())
    last = {row.part: modules[row.module] for row in trained.parts if row.module in modules}
    outputs: dict[str, list[np.ndarray]] = {part: [] for part in last}

    def keep(part: str, module: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        # Averaged at once: the next module may overwrite its input (ReLU in place).
        outputs[part].append(pooled(output).cpu().numpy())

    hooks = [module.register_forward_hook(partial(keep, part)) for part, module in last.items()]
    try:
        model = trained.model.to(device.torch, memory_format=torch.channels_last)
        for batch, _ in images.batches(BATCH_SIZE):
            model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return {part: np.concatenate(batches) for part, batches in outputs.items() if batches}


def pooled(output: torch.Tensor) -> torch.Tensor:
    """(N, D) of (N, D), (N, tokens, D), (N, D, S, S), or (N, S, S, D) as Swin has it."""
    if output.ndim == 4:
        channels_last = output.shape[1] == output.shape[2] != output.shape[3]
        return output.mean((1, 2) if channels_last else (2, 3))
    return output.mean(1) if output.ndim == 3 else output


def _images(chooser: Recipe, prepared: Recipe, seed: int, device: Device, root: Path) -> Images:
    """The first IMAGES test images of the subset of `chooser`, as `prepared` preprocesses them."""
    chosen = inputs.indices(chooser, seed, root / places.SUBSETS)["test"][:IMAGES]
    same = prepared.dataset.digest == chooser.dataset.digest
    stored = open_pinned((prepared if same else chooser).dataset, root / places.DATA,
                         root / places.DECODED)
    return Images(*stored["test"], chosen, prepared.preprocessing, device.torch,
                  environment.resized_limit(device.memory))
