"""SSF: what each layer puts out is scaled and shifted, channel by channel (Lian et al. 2022,
https://arxiv.org/abs/2210.08823, section 3.2):

    y = gamma * x + beta

behind every linear layer, convolution and normalisation. Behind a layer with weight and bias both
can be merged into these after training:

    gamma * (W x + b) + beta = (gamma * W) x + (gamma * b + beta)

A layer without a bias (a convolution before its BatchNorm) is scaled only: the shift behind its
normalisation does what one before it would. gamma starts at 1 and beta at 0, where the authors'
code (https://github.com/dongzelian/SSF) adds noise of 0.02, so that the model starts as it was;
kept is gamma - 1, so that weight decay pulls back to it. Where a layer's weight is read by another
(torch's attention), the weight and the bias themselves are scaled and shifted.
"""

import torch
from torch import nn
from torch.nn.utils import parametrize

from unfreeze.models.facts import is_within
from unfreeze.tuning import beside, parametrized
from unfreeze.tuning.methods import norm, parameters
from unfreeze.tuning.shapes import shapes


class ScaleShift(nn.Module):
    """(1 + scale) x + shift.

    Args:
        layer: whose output x is. Without a bias there is no shift.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        channels = len(layer.weight)
        self.scale = nn.Parameter(torch.zeros(channels))
        self.shift = nn.Parameter(torch.zeros(channels)) if layer.bias is not None else None
        self.channels_last = _channels_last(layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, ...), or (..., C) with the channels last, to the same."""
        ones = () if self.channels_last else (1,) * (x.dim() - 2)
        x = x * (1 + self.scale).to(x.dtype).view(-1, *ones)
        return x if self.shift is None else x + self.shift.to(x.dtype).view(-1, *ones)


class ScaledWeight(nn.Module):
    """W to gamma * W, row by row."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(len(weight)))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * (1 + self.scale).unsqueeze(1)


class ShiftedBias(nn.Module):
    """b to gamma * b + beta, with the gamma of the weight beside it."""

    def __init__(self, bias: torch.Tensor, weight: ScaledWeight) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(len(bias)))
        # Not as a submodule, which would count gamma twice; a deep copy follows it still.
        self.__dict__["weight"] = weight

    def forward(self, bias: torch.Tensor) -> torch.Tensor:
        return bias * (1 + self.weight.scale) + self.shift


def _channels_last(layer: nn.Module) -> bool:
    """Whether the last dimension of what a layer puts out is that of the channels."""
    if isinstance(layer, nn.LayerNorm):  # that of ConvNeXt permutes before and after
        return not type(layer).__name__.endswith("2d")
    return isinstance(layer, nn.Linear)


def _scale(layer: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
    return layer.ssf(output)


def insert(model, modules: list[str], facts, knobs, image_size: int) -> None:
    """Put a scale and a shift behind the linear layers, convolutions and normalisations of some
    blocks that have weights."""
    layers = {path: layer for path, layer in model.named_modules()
              if is_within(path, modules) and _has_place(layer)}
    called = shapes(model, layers, image_size)
    for path, layer in layers.items():
        if isinstance(layer, nn.MultiheadAttention):
            _inside(layer, "in_proj_weight", "in_proj_bias")
        elif path not in called:
            _inside(layer, "weight", "bias")
        else:
            layer.ssf = ScaleShift(layer)
            place = layer
            if hasattr(layer, "act") and hasattr(layer, "drop"):
                # timm's normalisation with its activation, between which this one stands.
                place = layer.drop
                place.__dict__["ssf"] = layer.ssf
            place.register_forward_hook(_scale)


def _has_place(layer: nn.Module) -> bool:
    if isinstance(layer, nn.MultiheadAttention):
        return layer.in_proj_weight is not None
    # A convolution that standardises its weight undoes what is merged into it.
    return (isinstance(layer, (nn.Linear, nn.Conv2d, *norm.NORMS))
            and getattr(layer, "weight", None) is not None
            and "StdConv" not in type(layer).__name__)


def _inside(layer: nn.Module, weight: str, bias: str) -> None:
    scaled = ScaledWeight(layer.get_parameter(weight))
    if layer._parameters.get(bias) is not None:
        parametrize.register_parametrization(
            layer, bias, ShiftedBias(layer.get_parameter(bias), scaled))
    parametrize.register_parametrization(layer, weight, scaled)


def trained(model, modules: list[str]) -> list[str]:
    """Names of the scales and shifts in some blocks."""
    added = beside.parameters(model, (ScaleShift, ScaledWeight, ShiftedBias))
    return [name for name, _, _ in parameters(model, modules) if name in added]


@torch.no_grad()
def merge(model: nn.Module) -> None:
    """Let weights and biases hold their scales and shifts, and remove these: the plain model with
    the tuned weights, whose logits are the same but for rounding."""
    for layer in list(model.modules()):
        behind = layer._modules.get("ssf")
        if isinstance(behind, ScaleShift):
            gamma = 1 + behind.scale
            layer.weight *= gamma.view(-1, *[1] * (layer.weight.dim() - 1))
            if behind.shift is not None:
                layer.bias.copy_(layer.bias * gamma + behind.shift)
            del layer.ssf
        hooks = layer._forward_hooks
        for key in [key for key, hook in hooks.items() if hook is _scale]:
            del hooks[key]
            layer.__dict__.pop("ssf", None)
    parametrized.merge(model, (ScaledWeight, ShiftedBias))
