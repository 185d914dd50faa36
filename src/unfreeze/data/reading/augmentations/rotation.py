"""Turning each image by an angle of its own about its centre: nearest neighbour, black outside, as
torchvision's RandomRotation."""

import torch
import torch.nn.functional as F

from unfreeze.params.knob import Knob, number

KNOBS = (Knob("rotation", 0, number("degrees from 0 to 180", lambda value: 0 <= value <= 180),
              "at most, of a random angle either way", unit="degrees"),)
PLACE = 20


def draw(n: int, value: float, random: torch.Generator) -> torch.Tensor:
    """(n,) degrees, uniform in [-value, value)."""
    return (2 * torch.rand(n, generator=random) - 1) * value


def apply(images: torch.Tensor, drawn: torch.Tensor, value: float) -> torch.Tensor:
    """Counter-clockwise by the drawn degrees."""
    angle = torch.deg2rad(drawn.to(images.device))
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    matrix = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(-1, 2, 3)
    source = images.permute(0, 3, 1, 2).float()
    grid = F.affine_grid(matrix, list(source.shape), align_corners=False)
    turned = F.grid_sample(source, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return turned.to(torch.uint8).permute(0, 2, 3, 1)
