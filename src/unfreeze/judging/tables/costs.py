"""A row a run: what it costs, as far as that is counted and so the same on every machine:
parameters, operations of an image and of training a replicate, activation memory, and the trials of
its search."""

from unfreeze.judging.outcome import Outcome

HEADER = ("run", "settings", "parameters_total", "parameters_trainable", "stored_mb",
          "activation_mb_1", "activation_mb", "gflops_forward", "gflops_backward", "operations",
          "search_trials", "search_operations")


def rows(outcome: Outcome) -> list[tuple]:
    return [
        (run.name, run.settings, run.cost["parameters_total"], run.cost["parameters_trainable"],
         *(round(run.cost[key] / 1e6, 2)
           for key in ("stored_bytes", "activation_bytes_1", "activation_bytes")),
         *(round(run.cost[key] / 1e9, 4) for key in ("flops_forward", "flops_backward")),
         *(run.cost[key] for key in ("operations", "search_trials", "search_operations")))
        for run in outcome.runs.values()
    ]
