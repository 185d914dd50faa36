"""Norm tuning: only the scales and shifts of normalisation layers train.

Frankle et al. 2021, "Training BatchNorm and Only BatchNorm" (https://arxiv.org/abs/2003.00152).
"""

from torch import nn

from unfreeze.tuning.methods import parameters

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


def insert(model, modules: list[str], facts, knobs, image_size: int) -> None:
    """Nothing to add."""


def trained(model, modules: list[str]) -> list[str]:
    """Names of the parameters of normalisation layers in some blocks; none where there is none."""
    return [name for name, owner, _ in parameters(model, modules) if isinstance(owner, NORMS)]
