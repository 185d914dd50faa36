"""recipes/RUN.yaml -> runs/RUN/: model.safetensors, predictions.npz, history.csv, movement.csv,
cost.json, parts.csv. Usage: train.py RUN"""

import io
import sys
from pathlib import Path

import numpy as np

import _source  # noqa: F401
from unfreeze import files, places
from unfreeze.errors import UserError
from unfreeze.stage import run_stage
from unfreeze.training import cost, devices, movement, replicate, saved
from unfreeze.training.assemble import assemble
from unfreeze.training.together import processes
from unfreeze.tuning import groups


def main() -> None:
    (run,) = sys.argv[1:]
    recipe = files.read_yaml(places.RECIPES / f"{run}.yaml")
    processes.begin(on_cpu=devices.wanted().type == "cpu")
    inputs, device, folder = replicate.Inputs(), devices.pick(), places.RUNS / run
    seeds, phases = list(recipe["seeds"]), recipe["phases"]
    model, _ = assemble(recipe, seeds[0], inputs.weights)
    parts, counts = [], []
    for number, phase in enumerate(phases, start=1):
        groups.freeze(model, phase["parts"])
        table = groups.table(model, phase["parts"], phase["lr"], phase["weight_decay"])
        counts.append(cost.of_phase(model, recipe))
        parts += [(number, *row) for row in table]
        title = f", phase {number} of {len(phases)}" if len(phases) > 1 else ""
        print(f"{run} on {device.name} in {device.precision}{title}\n{groups.as_text(table)}",
              flush=True)

    try:
        results = {seed: replicate.train(recipe, seed, device, inputs, f"{run} seed {seed}")
                   for seed in seeds}
    except RuntimeError as error:
        if not devices.memory_is_full(error):
            raise
        raise UserError(
            f"{run}: the memory of {device.name} is full, and batches in smaller pieces are no "
            "help (BatchNorm takes its statistics over a batch, a piece is one image already, or "
            "memory is full of something else); choose a smaller batch_size (and a larger "
            "accumulate) or image_size in params.yaml, or set UNFREEZE_RESIZED_GB=0") from None
    if processes.rank() == 0:
        write(folder, recipe, results, counts, parts, device, inputs)
    processes.finish()


def write(folder: Path, recipe: dict, results: dict, counts: list, parts: list,
          device: devices.Device, inputs: replicate.Inputs) -> None:
    """The outputs of the stage.

    Args:
        results: {seed: what `replicate.train` returns}.
        counts, parts: of each phase, what `cost.of_phase` counts; rows of `groups.table`.
    """
    seeds = list(results)
    predictions = io.BytesIO()
    np.savez(predictions, seeds=np.array(seeds), classes=np.array(recipe["classes"]),
             labels=replicate.test_labels(recipe, inputs),
             **{key: np.stack([result[key].numpy() for result in results.values()])
                for key in ("logits", "validation_logits", "validation_labels")})
    seconds = sum(result["cost"]["seconds"] for result in results.values())
    images = sum(result["cost"]["images"] for result in results.values())
    stored = list(results[seeds[0]]["model"].values())
    files.write_bytes(folder / "model.safetensors", saved.serialise(
        {seed: result["model"] for seed, result in results.items()}))
    files.write_bytes(folder / "predictions.npz", predictions.getvalue())
    files.write_csv(folder / "history.csv", ("seed", *replicate.HISTORY), (
        (seed, *row.values()) for seed, result in results.items() for row in result["history"]))
    files.write_csv(folder / "movement.csv", movement.HEADER, (
        (seed, *row) for seed, result in results.items() for row in result["movement"]))
    files.write_csv(folder / "parts.csv", ("phase", *groups.HEADER), parts)
    files.write_json(folder / "cost.json", cost.of_phases(counts, recipe["phases"]) | {
        "parameters_stored": sum(tensor.numel() for tensor in stored),
        "stored_bytes": sum(tensor.nbytes for tensor in stored),
        "seconds_per_replicate": seconds / len(seeds),
        "images_per_second": images / seconds if seconds else 0.0,
        "peak_memory_bytes": max(r["cost"]["peak_memory_bytes"] for r in results.values()),
        "device": device.name,
        "precision": device.precision,
    })


if __name__ == "__main__":
    run_stage(main)
