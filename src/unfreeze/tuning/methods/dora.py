"""DoRA: a weight as lengths and directions, the directions with a low-rank update (Liu et al. 2024,
https://arxiv.org/abs/2402.09353):

    W = m (W0 + (alpha / rank) B A) / |W0 + (alpha / rank) B A|     (equation 5)

The norm is that of what leads to one output, and m holds one number for each. m starts as the norm
of W0, A random and B at zero, so that W starts as W0. As in section 4.3 no gradient flows through
the norm. For a convolution B A is laid out as its kernel, as in the peft package.
"""

import math
from fnmatch import fnmatch

import torch
from torch import nn
from torch.nn.utils import parametrize

from unfreeze.errors import UserError
from unfreeze.tuning import beside, parametrized
from unfreeze.tuning.methods import parameters

KNOBS = ("lora_rank", "lora_alpha", "lora_layers")


class Decomposed(nn.Module):
    """W0 to W, where W0 packs `packed` matrices below one another, each with an update of its own.

    Args:
        weight: (packed * out, in) of a linear layer or (out, in, height, width) of a convolution.
    """

    def __init__(self, weight: torch.Tensor, packed: int, rank: int, alpha: float) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        self.scale = alpha / rank
        self.down = nn.Parameter(torch.empty(packed, rank, columns))
        self.up = nn.Parameter(torch.zeros(packed, rows // packed, rank))
        self.magnitude = nn.Parameter(_lengths(weight.detach()))
        for matrix in self.down:
            nn.init.kaiming_uniform_(matrix, a=math.sqrt(5))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        update = (self.up @ self.down).view(weight.shape)
        directed = weight + self.scale * update
        # Weights that are all zero have no direction, and stay.
        lengths = _lengths(directed.detach()).clamp(min=torch.finfo(weight.dtype).tiny)
        return (self.magnitude / lengths).view(-1, *[1] * (weight.dim() - 1)) * directed


def _lengths(weight: torch.Tensor) -> torch.Tensor:
    """(out,) norms of what leads to each output."""
    return torch.linalg.vector_norm(weight.flatten(1), dim=1)


def insert(model, modules: list[str], facts, knobs, image_size: int) -> None:
    """Decompose the weights of the Linear, ungrouped Conv2d and attention layers of some blocks,
    all of them or those that `lora_layers` names.

    Raises:
        UserError: no layer matches, or the rank is larger than a layer.
    """
    rank, patterns = knobs["lora_rank"], knobs["lora_layers"]
    places = []
    for full, owner, name in parameters(model, modules):
        path = full.removesuffix(f".{name}")
        fits = (name == "in_proj_weight" if isinstance(owner, nn.MultiheadAttention) else
                name == "weight" and isinstance(owner, nn.Linear | nn.Conv2d)
                and getattr(owner, "groups", 1) == 1)
        if fits and (patterns == "all" or any(fnmatch(path, pattern) for pattern in patterns)):
            # Query, key and value, in one matrix.
            packed = 3 if name == "in_proj_weight" or path.endswith(".qkv") else 1
            places.append((path, owner, name, packed))
    if not places:
        raise UserError(f"lora_layers: {patterns!r} matches no Linear, ungrouped Conv2d or "
                        "attention layer of the parts that train; name layers as the model does, "
                        f"such as {modules[0]}.*, or write all")
    for path, owner, name, packed in places:
        weight = owner.get_parameter(name)
        largest = min(len(weight) // packed, weight[0].numel())
        if rank > largest:
            raise UserError(f"lora_rank: {rank} is larger than {path}, whose weight has rank "
                            f"{largest} at most; choose {largest} or less, or leave that layer out "
                            "with lora_layers")
        parametrize.register_parametrization(
            owner, name, Decomposed(weight, packed, rank, knobs["lora_alpha"]))


def trained(model, modules: list[str]) -> list[str]:
    """Names of the lengths and the low-rank updates in some blocks."""
    added = beside.parameters(model, Decomposed)
    return [name for name, _, _ in parameters(model, modules) if name in added]


@torch.no_grad()
def merge(model: nn.Module) -> None:
    """Let every decomposed weight be what it computes: the plain model with the tuned weights."""
    parametrized.merge(model, Decomposed)
