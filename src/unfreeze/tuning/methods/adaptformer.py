"""AdaptFormer: a bottleneck beside the MLP of each transformer block (Chen et al. 2022,
https://arxiv.org/abs/2205.13535, section 3.2):

    x~ = ReLU(LN(x') W_down) W_up
    x  = MLP(LN(x')) + s x~ + x'

W_down starts as in the authors' code (https://github.com/ShoufaChen/AdaptFormer: Kaiming's rule),
W_up and the biases at zero, so that the bottleneck starts at zero. Their code lets it see x', and
drops out a tenth of its middle; these equations do neither. In a block that normalises after its
MLP (Swin V2) the sum is normalised.
"""

import math

import torch
from torch import nn

from unfreeze.models.facts import is_within
from unfreeze.models.with_torch import transformers
from unfreeze.params.knob import LEAST_ROW, POSITIVE, Knob, Makes, whole
from unfreeze.tuning import beside
from unfreeze.tuning.methods import parameters
from unfreeze.tuning.shapes import shapes

KNOBS = (
    Knob("adaptformer_width", 64, whole(1), "of the bottleneck beside each MLP",
         makes=Makes("a bottleneck", lambda width: width * LEAST_ROW)),
    Knob("adaptformer_scale", 0.1, POSITIVE, "what the bottleneck puts out is multiplied by"),
)
NEEDS = ("transformers.blocks", "its bottlenecks sit beside the MLPs of transformer blocks; choose "
                               "bias, dora, lora or ssf")


class Bottleneck(nn.Module):
    """s ReLU(x W_down) W_up.

    Args:
        inputs, outputs: channels. width: of the middle. scale: s.
    """

    def __init__(self, inputs: int, outputs: int, width: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.down = nn.Linear(inputs, width)
        self.up = nn.Linear(width, outputs)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        for parameter in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(parameter)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., inputs) to (..., outputs)."""
        return self.scale * self.up(torch.relu(self.down(x)))


def insert(model, modules: list[str], facts, knobs, image_size: int) -> None:
    """Put a bottleneck beside the MLP of each transformer block of some blocks."""
    blocks = [block for block in transformers.blocks(model) if is_within(block, modules)]
    seen = shapes(model, [f"{block}.mlp" for block in blocks], image_size)
    for path in blocks:
        block, sides = model.get_submodule(path), seen[f"{path}.mlp"]
        beside.put(Bottleneck(sides.seen[-1], sides.given[-1], knobs["adaptformer_width"],
                              knobs["adaptformer_scale"]), block.mlp, block, "adapter")


def trained(model, modules: list[str]) -> list[str]:
    """Names of the parameters of the bottlenecks in some blocks."""
    added = beside.parameters(model, Bottleneck)
    return [name for name, _, _ in parameters(model, modules) if name in added]
