"""recipes/RUN.yaml -> runs/RUN/: model.safetensors, predictions.npz, history.csv, cost.json,
parts.csv. Usage: train.py RUN"""

import io
import sys
from pathlib import Path

import numpy as np
import torch

import _source  # noqa: F401
from unfreeze import files
from unfreeze.errors import UserError, run_stage
from unfreeze.training import devices, replicate, saved
from unfreeze.tuning import groups


def main() -> None:
    (run,) = sys.argv[1:]
    recipe = files.read_yaml(Path("recipes") / f"{run}.yaml")
    inputs, device, folder = replicate.Inputs(), devices.pick(), Path("runs") / run
    knobs, seeds = recipe["knobs"], list(recipe["seeds"])
    model = replicate.build_model(recipe, seeds[0], inputs)
    parts = groups.table(model, recipe["parts"], knobs["lr"], knobs["weight_decay"])
    print(f"{run} on {device.name} in {device.precision}\n{groups.as_text(parts)}", flush=True)

    try:
        results = {seed: replicate.train(recipe, seed, device, inputs, f"{run} seed {seed}")
                   for seed in seeds}
    except torch.OutOfMemoryError:
        raise UserError(f"{run}: the memory of {device.name} is full; choose a smaller batch_size "
                        "or image_size in params.yaml, or set UNFREEZE_RESIZED_GB=0") from None

    predictions = io.BytesIO()
    np.savez(predictions, seeds=np.array(seeds), classes=np.array(recipe["classes"]),
             logits=np.stack([result["logits"].numpy() for result in results.values()]),
             labels=replicate.test_labels(recipe, inputs))
    seconds = sum(result["cost"]["seconds"] for result in results.values())
    images = sum(result["cost"]["images"] for result in results.values())
    files.write_bytes(folder / "model.safetensors", saved.serialise(
        {seed: result["model"] for seed, result in results.items()}))
    files.write_bytes(folder / "predictions.npz", predictions.getvalue())
    files.write_csv(folder / "history.csv", ("seed", *replicate.HISTORY), (
        (seed, *row.values()) for seed, result in results.items() for row in result["history"]))
    files.write_csv(folder / "parts.csv", groups.HEADER, parts)
    files.write_json(folder / "cost.json", {
        "parameters_total": sum(p.numel() for p in model.parameters()),
        "parameters_trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "seconds_per_replicate": seconds / len(seeds),
        "images_per_second": images / seconds,
        "peak_memory_bytes": max(r["cost"]["peak_memory_bytes"] for r in results.values()),
        "device": device.name,
        "precision": device.precision,
    })


if __name__ == "__main__":
    run_stage(main)
