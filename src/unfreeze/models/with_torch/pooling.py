"""Average pooling to a grid of fixed size, deterministic on every device."""

import torch
from torch import Tensor, nn


class AveragePool(nn.Module):
    """What nn.AdaptiveAvgPool2d(side) computes, as two matrix products: its own backward pass has
    no deterministic implementation on CUDA. It has no parameters."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, side, side)."""
        height, width = images.shape[2:]
        if height == width == self.side:
            return images
        return (_averages(height, self.side, images)
                @ images @ _averages(width, self.side, images).T)


def _averages(size: int, cells: int, like: Tensor) -> Tensor:
    """(cells, size): row i averages from floor(i * size / cells) up to but not including
    ceil((i + 1) * size / cells), as nn.AdaptiveAvgPool2d does."""
    rows = torch.zeros(cells, size)
    for i in range(cells):
        start, stop = i * size // cells, -(-(i + 1) * size // cells)
        rows[i, start:stop] = 1 / (stop - start)
    return rows.to(like)
