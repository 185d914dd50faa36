"""Layers that timm derives from torch's, as lean as those of tuning/lean.py: they keep no more for
the backward pass than what trains in them needs."""

import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from timm.layers.padding import pad_same
from torch import nn

from unfreeze.tuning.lean import LeanBatchNorm2d, LeanConv2d


class LeanBatchNormAct2d(BatchNormAct2d):
    """BatchNorm with the activation that follows it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to the same."""
        trains = self.training or self.weight is None or self.weight.requires_grad
        if trains or not torch.is_grad_enabled():
            return super().forward(x)
        return self.act(self.drop(LeanBatchNorm2d.forward(self, x)))


class LeanConv2dSame(Conv2dSame):
    """A convolution that pads by the size of what comes in, as TensorFlow does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, D, H', W')."""
        if self.weight.requires_grad or not torch.is_grad_enabled():
            return super().forward(x)
        return LeanConv2d.forward(
            self, pad_same(x, self.weight.shape[-2:], self.stride, self.dilation))


LEAN = {BatchNormAct2d: LeanBatchNormAct2d, Conv2dSame: LeanConv2dSame}


def install(model: nn.Module) -> None:
    """Let the layers of a model be of the kinds above, which differ only while their weight is
    frozen. Tensors and their names stay."""
    for layer in model.modules():
        if type(layer) in LEAN:
            layer.__class__ = LEAN[type(layer)]
