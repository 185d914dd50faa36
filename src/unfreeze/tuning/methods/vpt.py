"""Visual prompts: tokens that are learnt stand beside those of the image (Jia et al. 2022,
https://arxiv.org/abs/2203.12119, section 3.2), in the first block that trains (VPT-shallow),

    [x_1, Z_1, E_1] = L_1([x_0, P, E_0]),   [x_i, Z_i, E_i] = L_i([x_i-1, Z_i-1, E_i-1])

(equations 4 and 5), or anew in each block that trains (VPT-deep):

    [x_i, _, E_i] = L_i([x_i-1, P_i-1, E_i-1])                          (equation 7)

Prompts have no positions, so where in the sequence they stand does not matter; here it is the end,
from which they are taken away behind the last block. They start as in the authors' code
(https://github.com/KMnP/vpt: uniform, by Xavier's rule for patches), which drops out a tenth of
them, where the paper does not.

This is the one method that does not start as the model that it is put into: some attention goes
to a prompt whatever it holds.
"""

import math

import torch
from torch import nn

from unfreeze.models.facts import is_within
from unfreeze.models.with_torch import transformers
from unfreeze.params.knob import LEAST_ROW, Knob, Makes, choice, whole
from unfreeze.tuning import beside
from unfreeze.tuning.methods import parameters
from unfreeze.tuning.shapes import shapes

KNOBS = (
    Knob("vpt_depth", "deep", choice("deep", "shallow"),
         "where its tokens stand: deep (new ones in each block that trains) | shallow (from the "
         "first such block on)"),
    Knob("vpt_tokens", 10, whole(1), "that are learnt in a block",
         makes=Makes("prompts", lambda tokens: tokens * LEAST_ROW)),
)
NEEDS = ("transformers.takes_tokens", "its prompts stand among the tokens of a ViT with absolute "
                                      "positions; choose bias, dora, lora or ssf")


class Prompts(nn.Module):
    """Tokens that are learnt.

    Args:
        count: of them. channels: of a token. patch: numbers of an image's patch.
    """

    def __init__(self, count: int, channels: int, patch: int) -> None:
        super().__init__()
        bound = math.sqrt(6 / (patch + channels))
        self.tokens = nn.Parameter(torch.empty(1, count, channels).uniform_(-bound, bound))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, T, C) to (N, T + count, C)."""
        return torch.cat([x, self.tokens.to(x.dtype).expand(x.shape[0], -1, -1)], dim=1)


def _join(block: nn.Module, inputs: tuple) -> tuple:
    return block.prompts(inputs[0]), *inputs[1:]


class _Leave:
    """A hook that takes away the last tokens of what a block puts out."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, block: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        return output[:, :-self.count]


def insert(model, modules: list[str], facts, knobs, image_size: int) -> None:
    """Let prompts stand among the tokens of the transformer blocks in some blocks."""
    count, deep = knobs["vpt_tokens"], knobs["vpt_depth"] == "deep"
    every = transformers.blocks(model)
    blocks = [block for block in every if is_within(block, modules)]
    blocks = blocks if deep else blocks[:1]
    seen = shapes(model, blocks, image_size)
    first = next(layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
    for path in blocks:
        block = model.get_submodule(path)
        block.prompts = Prompts(count, seen[path].seen[-1], first.weight[0].numel())
        block.register_forward_pre_hook(_join)
        last = block if deep else model.get_submodule(every[-1])
        last.register_forward_hook(_Leave(count))


def trained(model, modules: list[str]) -> list[str]:
    """Names of the prompts in some blocks."""
    added = beside.parameters(model, Prompts)
    return [name for name, _, _ in parameters(model, modules) if name in added]
