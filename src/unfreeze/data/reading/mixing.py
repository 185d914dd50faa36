"""Mixup and CutMix: each image of a training batch is mixed with another one, and so are the
labels.

Both take a whole normalised batch on the device. An image's partner is the one before it in the
batch (the first's is the last), as in torchvision: batches are shuffled anyway, and unlike after a
random permutation no image is its own partner.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from unfreeze.errors import UserError


def mix(images: torch.Tensor, labels: torch.Tensor, classes: int, mixup: float, cutmix: float,
        random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix a batch by mixup (Zhang et al. 2018, https://arxiv.org/abs/1710.09412) or by CutMix
    (Yun et al. 2019, https://arxiv.org/abs/1905.04899), with one weight for the whole batch.

    Args:
        images: (B, 3, S, S) float; not changed. The memory format is kept.
        labels: (B,) int64, from 0 to classes - 1.
        mixup, cutmix: alpha of the weight's distribution Beta(alpha, alpha); 0 is off. With both
            on, a fair coin chooses for each batch.
        random: on the CPU; one number is drawn from it for each batch, whatever alpha is.

    Returns:
        (B, 3, S, S) images and (B, classes) float32 targets whose rows sum to 1. A batch of one
        image is left unmixed.

    Raises:
        UserError: an alpha is negative or not finite.
    """
    for name, alpha in (("mixup", mixup), ("cutmix", cutmix)):
        if not 0 <= alpha < math.inf:
            raise UserError(f"{name}: {alpha} is not an alpha of a Beta distribution; allowed is "
                            "a number above 0 (often 0.2 or 1), or 0 for off")
    # torch's Beta distribution draws from the global generator only, NumPy's from its own.
    draw = np.random.default_rng(torch.randint(2**63 - 1, (), generator=random).item())
    targets = F.one_hot(labels, classes).float()
    if len(images) < 2 or not (mixup or cutmix):
        return images, targets
    use_cutmix = bool(cutmix) and (not mixup or draw.random() < 0.5)
    alpha = cutmix if use_cutmix else mixup
    weight = draw.beta(alpha, alpha)
    if use_cutmix:
        images, weight = _paste(images, weight, draw)
    else:
        images = _blend(images, weight)
    return images, _blend(targets, weight)


def _blend(batch: torch.Tensor, weight: float) -> torch.Tensor:
    return (batch * weight).add_(batch.roll(1, 0), alpha=1 - weight)


def _paste(images: torch.Tensor, weight: float,
           draw: np.random.Generator) -> tuple[torch.Tensor, float]:
    """Paste a box of each image's partner into it.

    The box covers 1 - weight of the image about a centre that is uniform over it; what sticks out
    is cut off.

    Returns:
        The images, and the part of each that is left of its own.
    """
    height, width = images.shape[2:]
    y, x = draw.integers(height), draw.integers(width)
    half = 0.5 * math.sqrt(1 - weight)
    top, bottom = max(y - int(half * height), 0), min(y + int(half * height), height)
    left, right = max(x - int(half * width), 0), min(x + int(half * width), width)
    box = (..., slice(top, bottom), slice(left, right))
    mixed = images.clone()
    mixed[box] = images[box].roll(1, 0)
    return mixed, 1 - float((bottom - top) * (right - left)) / (height * width)
