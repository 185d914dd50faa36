"""A random crop: each image is padded with black and cropped back to its size at a place of its
own."""

import torch
import torch.nn.functional as F

from unfreeze.params.knob import Knob, whole

KNOBS = (Knob("crop_padding", 0, whole(0),
              "of black around the resized image before a random crop; 0: none", unit="pixels",
              at_most="image_size"),)
PLACE = 30


def draw(n: int, value: int, random: torch.Generator) -> torch.Tensor:
    """(n, 2) int64, top and left corner in the padded image, from 0 to 2 * value."""
    return (torch.rand(n, 2, generator=random) * (2 * value + 1)).long()


def apply(images: torch.Tensor, drawn: torch.Tensor, value: int) -> torch.Tensor:
    n, height, width, _ = images.shape
    shifts, device = drawn.to(images.device), images.device
    padded = F.pad(images, (0, 0, value, value, value, value))
    rows = shifts[:, :1] + torch.arange(height, device=device)
    columns = shifts[:, 1:] + torch.arange(width, device=device)
    image = torch.arange(n, device=device)
    return padded[image[:, None, None], rows[:, :, None], columns[:, None, :]]
