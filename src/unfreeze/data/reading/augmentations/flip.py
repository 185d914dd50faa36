"""Mirroring left to right, of each image with probability 1/2."""

import torch

from unfreeze.params.knob import SWITCH, Knob

KNOBS = (Knob("flip", True, SWITCH, "mirror half of the images"),)
PLACE = 40


def draw(n: int, value: bool, random: torch.Generator) -> torch.Tensor:
    """(n,) bool, whether an image is mirrored."""
    return torch.rand(n, generator=random) < 0.5


def apply(images: torch.Tensor, drawn: torch.Tensor, value: bool) -> torch.Tensor:
    which = drawn.to(images.device)
    return torch.where(which[:, None, None, None], images.flip(2), images)


def variants(value: bool) -> torch.Tensor:
    return torch.tensor([False, True])
