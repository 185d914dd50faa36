"""Layers that keep no more for the backward pass than what trains in them needs.

torch's own convolution, BatchNorm and ReLU keep their whole input (or output) even where their
weights are frozen and only the gradient of the input is wanted. That is most of the memory that
bias tuning and TinyTL are there to save (Cai et al. 2020, https://arxiv.org/abs/2007.11622,
section 3.1): an additive term needs nothing of what it was added to.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import nn

from unfreeze.models.facts import is_within


class _ConvInput(torch.autograd.Function):
    """A 2-D convolution whose weight is frozen: keeps the weight and the shape of the input."""

    @staticmethod
    def forward(ctx, x, weight, bias, options):
        ctx.save_for_backward(weight)
        ctx.shape, ctx.options, ctx.bias_trains = x.shape, options, ctx.needs_input_grad[2]
        return F.conv2d(x, weight, bias, *options)

    @staticmethod
    def backward(ctx, gradient):
        (weight,) = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.options
        # Its values are not read; its layout decides that of the result.
        x = torch.empty(1, dtype=gradient.dtype, device=gradient.device).expand(ctx.shape)
        inner, _, _ = torch.ops.aten.convolution_backward(
            gradient, x, weight.to(gradient.dtype), None, stride, padding, dilation, False, [0, 0],
            groups, [True, False, False])
        bias = gradient.sum((0, 2, 3)) if ctx.bias_trains else None
        return inner, None, bias, None


class LeanConv2d(nn.Conv2d):
    """Conv2d that keeps nothing of its input while its weight is frozen."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, D, H', W')."""
        lean = (torch.is_grad_enabled() and not self.weight.requires_grad
                and self.padding_mode == "zeros" and not isinstance(self.padding, str))
        if not lean:
            return super().forward(x)
        return _ConvInput.apply(x, self.weight, self.bias,
                                (self.stride, self.padding, self.dilation, self.groups))


class LeanBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d that, while its statistics and its weight are frozen, is one multiply-add a
    channel and keeps one number a channel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to the same."""
        trains = self.training or self.weight is None or self.weight.requires_grad
        if trains or not torch.is_grad_enabled():
            return super().forward(x)
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        scale, shift = (term.view(1, -1, 1, 1) for term in (scale, shift))
        return torch.addcmul(shift, x.float(), scale).to(x.dtype)


class _Clamp(torch.autograd.Function):
    """min(max(x, 0), top): keeps a byte for each number, whether it was between."""

    @staticmethod
    def forward(ctx, x, top):
        ctx.save_for_backward((x > 0) & (x < top))
        return x.clamp(0, top)

    @staticmethod
    def backward(ctx, gradient):
        (between,) = ctx.saved_tensors
        return gradient * between, None


class MaskedReLU(nn.ReLU):
    """ReLU that keeps a byte for each number."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Clamp.apply(x, float("inf")) if torch.is_grad_enabled() else super().forward(x)


class MaskedReLU6(nn.ReLU6):
    """ReLU6 that keeps a byte for each number."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Clamp.apply(x, 6.0) if torch.is_grad_enabled() else super().forward(x)


LEAN = {nn.Conv2d: LeanConv2d, nn.BatchNorm2d: LeanBatchNorm2d}
MASKED = {nn.ReLU: MaskedReLU, nn.ReLU6: MaskedReLU6}


def install(model: nn.Module) -> None:
    """Let every Conv2d and BatchNorm2d of a model be of the kind above, which differs only while
    its weight is frozen. Tensors and their names stay."""
    _change(model.modules(), LEAN)


def mask_activations(model: nn.Module, modules: list[str]) -> None:
    """Let every ReLU of some blocks keep a mask, where no weight after it trains, which would keep
    its output anyway."""
    _change((module for name, module in model.named_modules() if is_within(name, modules)),
            MASKED)


def _change(layers: Iterable[nn.Module], kinds: dict[type, type]) -> None:
    for layer in layers:
        if type(layer) in kinds:
            layer.__class__ = kinds[type(layer)]
