"""Convpass: convolutions beside the attention and the MLP of each transformer block (Jie and Deng
2022, https://arxiv.org/abs/2207.07039, section 3.2):

    x' = x + MHSA(LN(x)) + s Convpass(LN(x))
    y  = x' + MLP(LN(x')) + s Convpass(LN(x'))

where Convpass is a 1 x 1 convolution onto few channels, GELU, a 3 x 3 convolution, GELU, and a
1 x 1 convolution back, over the tokens laid out as the patches of the image; a class token is an
image of one pixel. As in the authors' code (https://github.com/JieShibo/PETL-ViT) the 3 x 3
convolution starts as the identity and the last one at zero, so that the bypass starts at zero.
Their code approximates GELU, and drops out a tenth of the middle; this does neither.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from unfreeze.errors import UserError
from unfreeze.models.facts import is_within
from unfreeze.models.with_torch import transformers
from unfreeze.params.knob import LEAST_ROW, POSITIVE, Knob, Makes, whole
from unfreeze.tuning import beside
from unfreeze.tuning.methods import parameters
from unfreeze.tuning.shapes import Shapes, shapes

KNOBS = (
    Knob("convpass_width", 8, whole(1), "channels of the bypass beside each attention and MLP",
         makes=Makes("a bypass", lambda width: max(width * LEAST_ROW, 36 * width**2))),
    Knob("convpass_scale", 1.0, POSITIVE, "what the bypass puts out is multiplied by"),
)
NEEDS = ("transformers.blocks", "its bypasses sit beside the attentions and MLPs of transformer "
                               "blocks; choose bias, dora, lora or ssf")


class Bypass(nn.Module):
    """s times three convolutions over tokens.

    Args:
        channels: of a token. width: of the middle. scale: s.
        first: tokens before those of the patches, where tokens come as a sequence.
    """

    def __init__(self, channels: int, width: int, scale: float, first: int) -> None:
        super().__init__()
        self.scale, self.first = scale, first
        self.down = nn.Linear(channels, width)
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.up = nn.Linear(width, channels)
        nn.init.xavier_uniform_(self.down.weight)
        nn.init.dirac_(self.conv.weight)
        for parameter in (self.down.bias, self.conv.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(parameter)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, T, channels), the patches row by row after the first tokens, or (N, H, W, channels),
        to the same."""
        x = F.gelu(self.down(x))
        x = self._grid(x) if x.dim() == 4 else self._sequence(x)
        return self.scale * self.up(F.gelu(x))

    def _grid(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    def _sequence(self, x: torch.Tensor) -> torch.Tensor:
        side = math.isqrt(x.shape[1] - self.first)
        patches = self._grid(x[:, self.first:].unflatten(1, (side, side))).flatten(1, 2)
        if not self.first:
            return patches
        # An image of one pixel for each: of the 3 x 3 convolution only the middle meets a number.
        alone = F.linear(x[:, :self.first], self.conv.weight[:, :, 1, 1], self.conv.bias)
        return torch.cat([alone, patches], dim=1)


def insert(model, modules: list[str], facts, knobs, image_size: int) -> None:
    """Put a bypass beside the attention and the MLP of each transformer block of some blocks.

    Raises:
        UserError: what a block sees is no square of patches.
    """
    names = {module: name for name, module in model.named_modules()}
    places = [(block, name, layer) for block in map(model.get_submodule, transformers.blocks(model))
              if is_within(names[block], modules)
              for name, layer in (("bypass_attention", transformers.attention(block)),
                                  ("bypass_mlp", block.mlp))]
    seen = shapes(model, [names[layer] for _, _, layer in places], image_size)
    first = transformers.first_tokens(model)
    for block, name, layer in places:
        sides = seen[names[layer]]
        _check(names[layer], sides, first)
        beside.put(Bypass(sides.seen[-1], knobs["convpass_width"], knobs["convpass_scale"], first),
                   layer, block, name)


def _check(path: str, sides: Shapes, first: int) -> None:
    patches = sides.seen[1] - first if len(sides.seen) == 3 else 1
    if (sides.seen != sides.given or len(sides.seen) not in (3, 4) or patches < 1
            or math.isqrt(patches)**2 != patches):
        raise UserError(f"tune: convpass has no place in this model: what {path} sees, "
                        f"{tuple(sides.seen[1:])}, is no square of patches; choose adaptformer, "
                        "lora or bias")


def trained(model, modules: list[str]) -> list[str]:
    """Names of the parameters of the bypasses in some blocks."""
    added = beside.parameters(model, Bypass)
    return [name for name, _, _ in parameters(model, modules) if name in added]
