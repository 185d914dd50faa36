"""How bright the training images are, for normalisation."""

from pathlib import Path

import numpy as np

_READ = 1 << 25  # bytes in memory at a time
_LEVEL = 1 / 255


def mean_and_std(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation over all pixels, per RGB channel in 0..1, to 4 decimals.

    A channel whose deviation is less than a level hardly differs from picture to picture, as blue
    in pictures of red and green: its deviation is given as 1, so that normalisation only centres it
    and does not blow up what is nothing, or divide by 0.

    Args:
        path: an array (N, S, S, 3) uint8, read piece by piece: memory does not grow with it.
    """
    shape = np.load(path, mmap_mode="r").shape
    step = max(1, _READ // (shape[1] * shape[2] * 3))
    # Integer sums: exact, so the same however the rows are divided.
    count, total, squares = 0, np.zeros(3, np.int64), np.zeros(3, np.int64)
    for start in range(0, shape[0], step):
        # A fresh mapping each time: the pages of one count as memory as long as it lives.
        levels = np.load(path, mmap_mode="r")[start:start + step].reshape(-1, 3)
        for channel in range(3):
            counts = np.bincount(levels[:, channel], minlength=256)
            total[channel] += counts @ np.arange(256)
            squares[channel] += counts @ np.arange(256) ** 2
        count += len(levels)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0)) / 255
    std[std < _LEVEL] = 1
    return tuple(np.round(mean / 255, 4).tolist()), tuple(np.round(std, 4).tolist())
