"""Where the chosen images of a split lie while a model is trained or tested on them.

Each kind gives batches of them as the model will see them but for normalisation and augmentation:

    batches(parts)     for each (B,) int64 tensor of rows on the CPU: (B, S, S, 3) uint8 on the
                       device. A row is the place of an image among the chosen ones.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch

from unfreeze.data.reading.resizing import resize
from unfreeze.data.reading.row_file import RowFile, read_ahead
from unfreeze.recipe import Preprocessing

_CHUNK = 256


class Pixels(Protocol):
    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]: ...


class Kept:
    """On the device, at their final size.

    Args:
        images: (n, S, S, 3) uint8.
    """

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        for rows in on_device(parts, self.images.device):
            yield self.images[rows]


class ResizedEachTime(Kept):
    """On the device as they are stored, (n, H, W, 3) uint8; too large together once resized."""

    def __init__(self, images: torch.Tensor, preprocessing: Preprocessing) -> None:
        super().__init__(images)
        self.preprocessing = preprocessing

    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        for images in super().batches(parts):
            yield resize(images, self.preprocessing)


class InFile:
    """Decoded photos, read when they are used.

    Args:
        indices: (n,) of the chosen ones in the file.
    """

    def __init__(self, file: RowFile, indices: np.ndarray, device: torch.device) -> None:
        self._file, self._indices, self._device = file, indices, device

    def batches(self, parts: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        yield from read_ahead(self._file, [self._indices[rows.numpy()] for rows in parts],
                              self._device)


def choose(stored: np.ndarray | RowFile, indices: np.ndarray, preprocessing: Preprocessing,
           device: torch.device, limit: int) -> Pixels:
    """Some images of a split.

    Stored arrays are resized once, or each batch when it is used, with the same result. Decoded
    photos have their size; on a CPU they stay in their file, of which the system keeps in memory
    what it has room for.

    Args:
        stored: (N, H, W, 3) uint8 arrays, or decoded photos.
        indices: (n,) int64, which of them.
        limit: bytes up to which n images are kept at their final size.
    """
    fits = len(indices) * preprocessing.image_size**2 * 3 <= limit
    if isinstance(stored, RowFile):
        if device.type == "cpu" or not fits:
            return InFile(stored, indices, device)
        return Kept(_read_to_device(stored, indices, device))
    images = torch.from_numpy(np.ascontiguousarray(stored[indices])).to(device)
    if not fits:
        return ResizedEachTime(images, preprocessing)
    parts = [resize(part, preprocessing) for part in images.split(_CHUNK)]
    return Kept(torch.cat(parts))


def on_device(parts: Sequence[torch.Tensor], device: torch.device) -> Sequence[torch.Tensor]:
    """The (B,) rows of batches on a device, sent at once: to send those of each batch, the host
    would wait until a GPU is done with the batch before."""
    if not len(parts):
        return ()
    return torch.cat(list(parts)).to(device).split([len(part) for part in parts])


def _read_to_device(file: RowFile, indices: np.ndarray, device: torch.device) -> torch.Tensor:
    images = torch.empty(len(indices), *file.shape[1:], dtype=torch.uint8, device=device)
    for start in range(0, len(indices), _CHUNK):
        part = slice(start, start + _CHUNK)
        images[part] = torch.from_numpy(file[indices[part]]).to(device)
    return images
