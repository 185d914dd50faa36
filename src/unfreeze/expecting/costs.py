"""What a run costs, by the names that claims and budgets use.

A new cost is a row of COSTS; one that nobody counts yet is also an entry in the cost.json that
training writes (training/outputs.py). Those of a search are added where runs are read
(judging/runs.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """A cost of a run.

    Attributes:
        text: in words, for tables and charts. unit: "s", "bytes", "parameters" or "operations".
        of: its value, from the content of cost.json and what the search took.
        measured: whether it depends on the machine and its clock; the others are counted, the same
            everywhere.
        drawn: whether the report sets accuracy against it.
    """

    text: str
    unit: str
    of: Callable[[dict], float]
    measured: bool = False
    drawn: bool = False


def _sum(*keys: str, times: int = 1) -> Callable[[dict], float]:
    return lambda cost: times * sum(cost[key] for key in keys)


COSTS: dict[str, Cost] = {
    "operations": Cost("operations of training a replicate", "operations", _sum("operations"),
                       drawn=True),
    "seconds": Cost("training time of a replicate", "s", _sum("seconds_per_replicate"),
                    measured=True, drawn=True),
    "parameters_total": Cost("parameters of the model", "parameters", _sum("parameters_total")),
    "parameters_trainable": Cost("parameters that are trained", "parameters",
                                 _sum("parameters_trainable"), drawn=True),
    "trainable_bytes": Cost("what is trained, in float32", "bytes",
                            _sum("parameters_trainable", times=4)),
    "stored_bytes": Cost("what a replicate adds to the pretrained weights on disk", "bytes",
                         _sum("stored_bytes"), drawn=True),
    "activation_bytes": Cost("activations kept for the backward pass of a batch", "bytes",
                             _sum("activation_bytes"), drawn=True),
    "activation_bytes_1": Cost("the same for one image", "bytes", _sum("activation_bytes_1")),
    "flops_forward": Cost("of the forward pass of an image", "operations", _sum("flops_forward")),
    "flops_backward": Cost("of the backward pass of an image", "operations",
                           _sum("flops_backward")),
    "flops": Cost("of both passes of an image", "operations",
                  _sum("flops_forward", "flops_backward"), drawn=True),
    "peak_memory_bytes": Cost("largest memory of the training process", "bytes",
                              _sum("peak_memory_bytes"), measured=True),
    "search_operations": Cost("operations of all trials of the search", "operations",
                              _sum("search_operations"), drawn=True),
    "search_seconds": Cost("training time of all trials of the search", "s",
                           _sum("search_seconds"), measured=True, drawn=True),
    "search_trials": Cost("trials of the search", "trials", _sum("search_trials")),
}


def unlike(costs: Mapping[str, dict]) -> str:
    """Why what was measured of runs is not to be compared: they trained on other devices, in
    another precision, or with other numbers of threads; "" where it is.

    Args:
        costs: {run: content of its cost.json}.
    """
    where = {run: _where(cost) for run, cost in costs.items()}
    first = next(iter(where))
    other = next((run for run in where if where[run] != where[first]), None)
    if other is None:
        return ""
    return f"{first} was trained on {where[first]}, {other} on {where[other]}"


def _where(cost: dict) -> str:
    threads = cost["threads"]
    return (f"{cost['device']} in {cost['precision']} with {threads} "
            f"thread{'' if threads == 1 else 's'}")
