"""What a trained run leaves behind: _made/runs/RUN/. No torch.

    model.safetensors   what training changed, SEED/TENSOR of each seed (saved.py)
    predictions.npz     seeds (S,), classes (C,), labels (N,), logits (S, N, C), validation_logits
                        (S, V, C), validation_labels (S, V), temperature: () that a search
                        found for the logits, NaN where it found none; failed: () why nothing
                        was trained, "" where something was
    history.csv         a row for each seed and epoch
    movement.csv        a row for each seed and part
    parts.csv           a row for each phase and part
    cost.json           what it cost
"""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from unfreeze import files
from unfreeze.recipe import Recipe
from unfreeze.training import counting
from unfreeze.training.finished import HISTORY, MOVEMENT
from unfreeze.training.inputs import Inputs, test_labels
from unfreeze.training.result import Result


def write(folder: Path, recipe: Recipe, result: Result, inputs: Inputs) -> None:
    """Write them all.

    Args:
        folder: of the run. inputs: what it was trained from.
    """
    replicates = result.replicates
    files.write_bytes(folder / "model.safetensors", save({
        f"{seed}/{name}": array for seed, trained in replicates.items()
        for name, array in trained.model.items()}))
    files.write_bytes(folder / "predictions.npz", _predictions(recipe, result, inputs))
    files.write_csv(folder / "history.csv", ("seed", *HISTORY), (
        (seed, *row.values()) for seed, trained in replicates.items()
        for row in trained.history))
    files.write_csv(folder / "movement.csv", ("seed", *MOVEMENT), (
        (seed, *row) for seed, trained in replicates.items() for row in trained.movement))
    files.write_csv(folder / "parts.csv", ("phase", *counting.PARTS), (
        (number, *row) for number, rows in enumerate(counting.parts(result.counted, recipe), 1)
        for row in rows))
    files.write_json(folder / "cost.json", _counted(recipe, result) | _measured(recipe, result))


def _predictions(recipe: Recipe, result: Result, inputs: Inputs) -> bytes:
    content, replicates = io.BytesIO(), result.replicates.values()
    np.savez(content, seeds=np.array(list(result.replicates)), classes=np.array(recipe.classes),
             labels=test_labels(recipe, inputs), temperature=np.array(
                 recipe.chosen.temperature if recipe.chosen else None, np.float64),
             failed=np.array(recipe.failed),
             logits=np.stack([each.logits for each in replicates]),
             validation_logits=np.stack([each.validation_logits for each in replicates]),
             validation_labels=np.stack([each.validation_labels for each in replicates]))
    return content.getvalue()


def _counted(recipe: Recipe, result: Result) -> dict[str, int]:
    """What was counted; the operations of the epochs that a replicate trained, on average."""
    operations = [counting.operations(result.counted, recipe, trained.history,
                                      trained.cost.images // max(1, len(trained.history)))
                  for trained in result.replicates.values()]
    return result.counted.cost(counting.epochs_of(recipe)) | {
        "operations": round(sum(operations) / len(operations))}


def _measured(recipe: Recipe, result: Result) -> dict:
    """What was measured, not counted, where a replicate was trained, which may be elsewhere;
    parameters are stored of one seed."""
    replicates = list(result.replicates.values())
    costs = [trained.cost for trained in replicates]
    seconds, images = sum(cost.seconds for cost in costs), sum(cost.images for cost in costs)
    stored = list(replicates[0].model.values())
    return {
        "parameters_stored": sum(array.size for array in stored),
        "stored_bytes": sum(array.nbytes for array in stored),
        "seconds": {seed: trained.cost.seconds for seed, trained in result.replicates.items()},
        "seconds_per_replicate": seconds / len(replicates),
        "images_per_second": images / seconds if seconds else 0.0,
        "peak_memory_bytes": max(cost.peak_memory_bytes for cost in costs),
        "device": _all(cost.device for cost in costs),
        "precision": _all(cost.precision for cost in costs),
        "threads": recipe.knobs["threads"],
    }


def _all(words: Iterable[str]) -> str:
    """Each of some words once."""
    return " and ".join(sorted(set(words)))
