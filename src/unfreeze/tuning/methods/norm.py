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
    return [name for name, owner, _ in parameters(model, modules) if is_norm(owner)]


def is_norm(layer) -> bool:
    """Whether a layer normalises: one of NORMS, or one that does the same under another name (an
    RMS norm), dividing by a deviation with an `eps` and scaling each channel."""
    weight = getattr(layer, "weight", None)
    return isinstance(layer, NORMS) or (
        hasattr(layer, "eps") and isinstance(weight, nn.Parameter) and weight.ndim == 1)
