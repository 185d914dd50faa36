"""What a run costs, by the names that claims and budgets use."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """A cost of a run.

    Attributes:
        name, unit, text: for tables and messages.
        of: its value, from the content of cost.json.
        measured: whether it depends on the machine and its clock; the others are counted, the same
            everywhere.
    """

    name: str
    unit: str
    text: str
    of: Callable[[dict], float]
    measured: bool = False


def _sum(*keys: str, times: int = 1) -> Callable[[dict], float]:
    return lambda cost: times * sum(cost[key] for key in keys)


COSTS: dict[str, Cost] = {cost.name: cost for cost in (
    Cost("seconds", "s", "training time of a replicate", _sum("seconds_per_replicate"), True),
    Cost("parameters_total", "parameters", "parameters of the model", _sum("parameters_total")),
    Cost("parameters_trainable", "parameters", "parameters that are trained",
         _sum("parameters_trainable")),
    Cost("trainable_bytes", "bytes", "what is trained, in float32",
         _sum("parameters_trainable", times=4)),
    Cost("stored_bytes", "bytes", "what a replicate adds to the pretrained weights on disk",
         _sum("stored_bytes")),
    Cost("activation_bytes", "bytes", "activations kept for the backward pass of a batch",
         _sum("activation_bytes")),
    Cost("activation_bytes_1", "bytes", "the same for one image", _sum("activation_bytes_1")),
    Cost("flops_forward", "operations", "of the forward pass of an image", _sum("flops_forward")),
    Cost("flops_backward", "operations", "of the backward pass of an image",
         _sum("flops_backward")),
    Cost("flops", "operations", "of both passes of an image",
         _sum("flops_forward", "flops_backward")),
    Cost("peak_memory_bytes", "bytes", "largest memory of the training process",
         _sum("peak_memory_bytes"), True),
)}


def value(name: str, cost: dict) -> float:
    """A cost by its name, from the content of cost.json."""
    return COSTS[name].of(cost)
