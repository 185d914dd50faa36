"""Batches made on the device: resized, augmented and normalised as whole uint8 batches.

Images are resized once, before training, and kept as uint8 when they fit into the limit;
otherwise each batch is resized when it is used, with the same result. Every image draws its own
flip, shift and angle.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

_RESIZE_CHUNK = 256


@dataclass(frozen=True)
class Augmentation:
    """What is done to training images, in this order, after resizing.

    Attributes:
        rotation: degrees; each image turns by an angle uniform in [-rotation, rotation], nearest
            neighbour, black outside.
        crop_padding: pixels; each image is padded with black and cropped back to its size at a
            random place.
        flip: each image is mirrored left to right with probability 1/2.
    """

    rotation: float = 0.0
    crop_padding: int = 0
    flip: bool = False


class Images:
    """Some images of a split, with labels, on a device.

    Args:
        images: (N, H, W, 3) uint8, the whole split.
        labels: (N,) integer.
        indices: (n,) which of them.
        size: side in pixels of what the model sees.
        mean, std: per channel, in 0..1.
        device: where batches are made.
        limit: bytes up to which the resized images are kept.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, indices: list[int], size: int,
                 mean: list[float], std: list[float], device: torch.device, limit: int) -> None:
        indices = np.asarray(indices, np.int64)
        self.labels = torch.from_numpy(np.asarray(labels[indices], np.int64)).to(device)
        self.images = torch.from_numpy(np.ascontiguousarray(images[indices])).to(device)
        self.size = size
        self.device = device
        self.scale = 1 / (255 * torch.tensor(std, device=device))
        self.shift = -torch.tensor(mean, device=device) / torch.tensor(std, device=device)
        if len(indices) * size * size * 3 <= limit:
            chunks = [resize(part, size) for part in self.images.split(_RESIZE_CHUNK)]
            self.images = torch.cat(chunks) if chunks else self.images

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All images in order: ((B, 3, S, S) float in channels_last, (B,) int64)."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield self._normalise(resize(self.images[part], self.size)), self.labels[part]

    def shuffled(self, size: int, augmentation: Augmentation,
                 random: torch.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All images in random order, augmented.

        Everything random is drawn first and in a fixed order, so what one augmentation draws does
        not depend on whether another is on. A last batch of one image joins the batch before it:
        BatchNorm cannot train on one.
        """
        n, padding = len(self), augmentation.crop_padding
        order = torch.randperm(n, generator=random)
        flips = torch.rand(n, generator=random) < 0.5
        angles = (2 * torch.rand(n, generator=random) - 1) * augmentation.rotation
        shifts = (torch.rand(n, 2, generator=random) * (2 * padding + 1)).long()
        for rows in _chunks(order, size):
            there = rows.to(self.device)
            images = resize(self.images[there], self.size)
            if augmentation.rotation:
                images = rotate(images, angles[rows].to(self.device))
            if padding:
                images = crop(images, shifts[rows].to(self.device), padding)
            if augmentation.flip:
                images = flip(images, flips[rows].to(self.device))
            yield self._normalise(images), self.labels[there]

    def _normalise(self, images: torch.Tensor) -> torch.Tensor:
        # (B, H, W, 3) seen as (B, 3, H, W) is channels_last already.
        return images.float().mul_(self.scale).add_(self.shift).permute(0, 3, 1, 2)


def count_batches(images: int, size: int) -> int:
    """How many batches `Images.shuffled` makes."""
    return len(_chunks(torch.arange(images), size))


def _chunks(order: torch.Tensor, size: int) -> list[torch.Tensor]:
    chunks = list(order.split(size))
    if len(chunks) > 1 and len(chunks[-1]) == 1:
        chunks[-2:] = [torch.cat(chunks[-2:])]
    return chunks


def resize(images: torch.Tensor, size: int) -> torch.Tensor:
    """(B, H, W, 3) uint8 to (B, size, size, 3) uint8: bilinear, antialiased, as torchvision's
    Resize of a PIL image."""
    if images.shape[1:3] == (size, size):
        return images
    channels_first = images.permute(0, 3, 1, 2).float()
    resized = F.interpolate(channels_first, (size, size), mode="bilinear", antialias=True)
    return resized.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def rotate(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Turn each image of (B, S, S, 3) uint8 counter-clockwise by its own (B,) angle about its
    centre: nearest neighbour, black outside, as torchvision's RandomRotation."""
    angle = torch.deg2rad(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    matrix = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(-1, 2, 3)
    source = images.permute(0, 3, 1, 2).float()
    grid = F.affine_grid(matrix, list(source.shape), align_corners=False)
    turned = F.grid_sample(source, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return turned.to(torch.uint8).permute(0, 2, 3, 1)


def crop(images: torch.Tensor, shifts: torch.Tensor, padding: int) -> torch.Tensor:
    """Crop each image of (B, H, W, 3), padded with black, back to its size.

    Args:
        shifts: (B, 2) int64, top and left corner in the padded image, from 0 to 2 * padding.
    """
    n, height, width, _ = images.shape
    padded = F.pad(images, (0, 0, padding, padding, padding, padding))
    rows = shifts[:, :1] + torch.arange(height, device=images.device)
    columns = shifts[:, 1:] + torch.arange(width, device=images.device)
    each = torch.arange(n, device=images.device)
    return padded[each[:, None, None], rows[:, :, None], columns[:, None, :]]


def flip(images: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Mirror the images of (B, H, W, 3) for which (B,) bool `which` is true."""
    return torch.where(which[:, None, None, None], images.flip(2), images)
