"""Stored arrays at the size that a model sees.

Photos are resized by Pillow when they are decoded (data/photos/preprocess.py). Arrays are so on the
device, since they are small and many sizes are tried on them; within a level or two the bytes are
the same.
"""

import torch
import torch.nn.functional as F

from unfreeze.recipe import Preprocessing


def resize(images: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """(B, H, W, 3) uint8 to (B, image_size, image_size, 3) uint8, antialiased, as torchvision's
    Resize and CenterCrop of a PIL image.

    Bilinear is within 1 level of it; bicubic within 2, unless one side grows while the other
    shrinks (Pillow then changes the order of its two passes).
    """
    size, sides = preprocessing.image_size, images.shape[1:3]
    if preprocessing.resize == "square":
        target = (size, size)
    else:
        target = tuple(int(preprocessing.resize * side / min(sides)) for side in sides)
    if target != tuple(sides):
        channels_first = images.permute(0, 3, 1, 2).float()
        if preprocessing.interpolation == "bicubic":
            # Bicubic overshoots at edges. Pillow cuts that off after either pass, across first.
            channels_first = _interpolate(channels_first, (sides[0], target[1]), "bicubic")
        resized = _interpolate(channels_first, target, preprocessing.interpolation)
        images = resized.to(torch.uint8).permute(0, 2, 3, 1)
    top, left = (round((side - size) / 2) for side in target)
    return images[:, top:top + size, left:left + size].contiguous()


def _interpolate(images: torch.Tensor, target: tuple[int, int], mode: str) -> torch.Tensor:
    """Float (B, 3, H, W) to whole levels 0..255 of (B, 3, *target)."""
    return F.interpolate(images, target, mode=mode, antialias=True).round_().clamp_(0, 255)
