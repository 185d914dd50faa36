"""A row a run: what it reached and what it cost. Seconds and peak memory are this machine's;
parameters, operations (per image) and activation memory are not."""

from unfreeze.judging.outcome import Outcome

HEADER = ("run", "accuracy", "std", "parameters_total", "parameters_trainable", "stored_mb",
          "activation_mb_1", "activation_mb", "gflops_forward", "gflops_backward",
          "seconds_per_replicate", "images_per_second", "peak_memory_mb", "device", "precision")


def rows(outcome: Outcome) -> list[tuple]:
    return [
        (run.name, *(run.metrics.get("accuracy", {}).get(key) for key in ("mean", "std")),
         run.cost["parameters_total"], run.cost["parameters_trainable"],
         *(round(run.cost[key] / 1e6, 2)
           for key in ("stored_bytes", "activation_bytes_1", "activation_bytes")),
         *(round(run.cost[key] / 1e9, 4) for key in ("flops_forward", "flops_backward")),
         round(run.cost["seconds_per_replicate"], 1), round(run.cost["images_per_second"], 1),
         round(run.cost["peak_memory_bytes"] / 1e6), run.cost["device"], run.cost["precision"])
        for run in outcome.runs.values()
    ]
