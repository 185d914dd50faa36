"""LoRA: a low-rank update beside each frozen weight (Hu et al. 2022, https://arxiv.org/abs/2106.09685).

    y = W x + (alpha / rank) B A x        (equation 3)

A starts random, B at zero, so that the update starts at zero. For a convolution A is a convolution
of the same kernel, stride and padding onto `rank` channels and B one of 1 x 1, as in the peft
package. Attention layers use their weights without calling the layer that owns them (torch packs
query, key and value into one matrix); there the weight itself becomes W + (alpha / rank) B A.
So it does of a layer that does more than its weight says (pads by the size of what comes in,
standardises its weight).
"""

import math
from fnmatch import fnmatch

import torch
from torch import nn
from torch.nn.utils import parametrize
from torchvision.models.swin_transformer import ShiftedWindowAttention

from unfreeze.errors import UserError
from unfreeze.models.facts import is_within
from unfreeze.params.knob import LEAST_ROW, POSITIVE, Allowed, Knob, Makes, is_names, whole
from unfreeze.tuning import parametrized
from unfreeze.tuning.lean import LeanConv2d
from unfreeze.tuning.methods import parameters

KNOBS = (
    Knob("lora_rank", 8, whole(1), "of the update of a weight",
         makes=Makes("the update of a weight", lambda rank: rank * LEAST_ROW)),
    Knob("lora_alpha", 8, POSITIVE, "the update is multiplied by lora_alpha / lora_rank"),
    Knob("lora_layers", "all", Allowed(
        "all, or a list of names such as layer4.* or *.conv1",
        lambda value: value == "all" or (is_names(value) and value != [])),
        "all | [names], as in [layer4.*, '*.conv1']"),
)

# {attention layer: [(path of the owner of a weight, its name, matrices packed in it)]}
ATTENTION = {
    nn.MultiheadAttention: [("", "in_proj_weight", 3), ("out_proj", "weight", 1)],
    ShiftedWindowAttention: [("qkv", "weight", 3), ("proj", "weight", 1)],
}
# What layers do that an update can sit beside.
_PLAIN = (nn.Linear.forward, nn.Conv2d.forward, LeanConv2d.forward)


class LowRank(nn.Module):
    """The update (alpha / rank) B A x of a Linear or Conv2d layer.

    Args:
        layer: the layer that it sits beside.
        rank: of the update, at most the smaller side of the layer.
        alpha: the update is scaled by alpha / rank.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, rank: int, alpha: float) -> None:
        super().__init__()
        self.scale = alpha / rank
        if isinstance(layer, nn.Linear):
            self.down = nn.Linear(layer.in_features, rank, bias=False)
            self.up = nn.Linear(rank, layer.out_features, bias=False)
        else:
            self.down = nn.Conv2d(layer.in_channels, rank, layer.kernel_size, layer.stride,
                                  layer.padding, layer.dilation, bias=False,
                                  padding_mode=layer.padding_mode)
            self.up = nn.Conv2d(rank, layer.out_channels, 1, bias=False)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.up(self.down(x))

    def weight(self) -> torch.Tensor:
        """The update as a tensor of the shape of the layer's weight."""
        down, up = self.down.weight, self.up.weight
        return self.scale * (up.flatten(1) @ down.flatten(1)).view(len(up), *down.shape[1:])


class LowRankWeight(nn.Module):
    """W to W + (alpha / rank) B A, where W packs `packed` matrices below one another.

    Args:
        weight: (packed * out, in), or of a convolution (packed * out, in, height, width).
    """

    def __init__(self, weight: torch.Tensor, packed: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.scale = alpha / rank
        rows, columns = weight.flatten(1).shape
        self.down = nn.Parameter(torch.empty(packed, rank, columns))
        self.up = nn.Parameter(torch.zeros(packed, rows // packed, rank))
        for matrix in self.down:
            nn.init.kaiming_uniform_(matrix, a=math.sqrt(5))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + self.scale * (self.up @ self.down).flatten(0, 1).view(weight.shape)


def _add_update(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
    return output + layer.lora(inputs[0])


def insert(model, modules: list[str], facts, knobs, image_size: int) -> None:
    """Put updates beside the Linear and ungrouped Conv2d layers and the attention weights of some
    blocks, all of them or those that `lora_layers` names.

    Raises:
        UserError: no layer matches, or the rank is larger than a layer.
    """
    rank, alpha, patterns = knobs["lora_rank"], knobs["lora_alpha"], knobs["lora_layers"]

    def wanted(path: str) -> bool:
        return is_within(path, modules) and (
            patterns == "all" or any(fnmatch(path, pattern) for pattern in patterns))

    places, inside = [], []
    for path, module in model.named_modules():
        for kind, weights in ATTENTION.items():
            if isinstance(module, kind):
                inside.append(path)
                for owner, name, packed in weights:
                    full = f"{path}.{owner}" if owner else path
                    if wanted(full):
                        places.append((full, name, packed))
        if (isinstance(module, nn.Linear | nn.Conv2d) and getattr(module, "groups", 1) == 1
                and not is_within(path, inside) and wanted(path)):
            beside = type(module).forward in _PLAIN and path not in facts.uncalled
            packed = 3 if path.rpartition(".")[2] == "qkv" and isinstance(module, nn.Linear) else 1
            places.append((path, None, 1) if beside else (path, "weight", packed))
    if not places:
        raise UserError(f"lora_layers: {patterns!r} matches no Linear, ungrouped Conv2d or "
                        "attention layer of the parts that train; name layers as the model does, "
                        f"such as {modules[0]}.*, or write all")
    for path, name, packed in places:
        layer = model.get_submodule(path)
        weight = layer.get_parameter(name or "weight")
        largest = min(weight.shape[0] // packed, weight[0].numel())
        if rank > largest:
            raise UserError(f"lora_rank: {rank} is larger than {path}, whose weight has rank "
                            f"{largest} at most; choose {largest} or less, or leave that layer out "
                            "with lora_layers")
        if name:
            parametrize.register_parametrization(
                layer, name, LowRankWeight(weight, packed, rank, alpha))
        else:
            layer.lora = LowRank(layer, rank, alpha)
            layer.register_forward_hook(_add_update)


def trained(model, modules: list[str]) -> list[str]:
    """Names of the parameters of the low-rank updates in some blocks."""
    updates = [path for path, module in model.named_modules()
               if isinstance(module, LowRank | LowRankWeight)]
    return [name for name, _, _ in parameters(model, modules) if is_within(name, updates)]


@torch.no_grad()
def merge(model: nn.Module) -> None:
    """Add every update to the weight that it sits beside and remove it: the plain model with the
    tuned weights, whose logits are the same but for rounding."""
    for layer in list(model.modules()):
        if isinstance(getattr(layer, "lora", None), LowRank):
            layer.weight += layer.lora.weight()
            del layer.lora
            for key in [key for key, hook in layer._forward_hooks.items() if hook is _add_update]:
                del layer._forward_hooks[key]
    parametrized.merge(model, LowRankWeight)
