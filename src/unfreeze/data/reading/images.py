"""Batches made on the device: augmented and normalised as whole uint8 batches."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from unfreeze.data.reading import pixels
from unfreeze.data.reading.augmentation import Chain, Generators
from unfreeze.data.reading.normalise import Normalisation
from unfreeze.data.reading.row_file import RowFile
from unfreeze.errors import UserError, nearest
from unfreeze.recipe import INTERPOLATIONS, Preprocessing

Change = Callable[[torch.Tensor], torch.Tensor]  # of a batch (B, S, S, 3) uint8


class Images:
    """Some images of a split, with labels, on a device.

    Args:
        stored: (N, H, W, 3) uint8, the whole split, as arrays or as decoded photos.
        labels: (N,) integer.
        indices: which of them, n.
        preprocessing: from those to what the model sees.
        device: where batches are made.
        limit: bytes up to which the images are kept there at their final size.

    Attributes:
        labels: (n,) int64 of the chosen ones, on the device.
        pixels: where they lie.

    Raises:
        UserError: `resize` is less than the size, or the interpolation unknown.
    """

    def __init__(self, stored: np.ndarray | RowFile, labels: np.ndarray, indices: Sequence[int],
                 preprocessing: Preprocessing, device: torch.device, limit: int) -> None:
        _check(preprocessing)
        indices = np.asarray(indices, np.int64)
        self.labels = torch.from_numpy(np.asarray(labels[indices], np.int64)).to(device)
        self.device = device
        self.pixels = pixels.choose(stored, indices, preprocessing, device, limit)
        self._normalise = Normalisation(preprocessing, device)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int, change: Change | None = None
                ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All images in order, as they are or all changed in one way: ((B, 3, S, S) float in
        channels_last, (B,) int64)."""
        parts = torch.arange(len(self)).split(size) if len(self) else ()
        for rows, images in zip(pixels.on_device(parts, self.device), self.pixels.batches(parts),
                                strict=True):
            yield self._normalise(change(images) if change else images), self.labels[rows]

    def shuffled(self, size: int, augmentation: Chain, generator: Generators
                 ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All images in random order, augmented, in batches of `chunks`; `generator` as of
        `Chain.draw`."""
        draws = augmentation.draw(len(self), generator)
        parts, draws = chunks(draws.order, size), draws.to(self.device)
        for rows, images in zip(pixels.on_device(parts, self.device), self.pixels.batches(parts),
                                strict=True):
            images = augmentation.apply(images, draws, rows)
            yield self._normalise(images), self.labels[rows]


def count_batches(images: int, size: int) -> int:
    """How many batches `Images.shuffled` makes."""
    return len(chunks(torch.arange(images), size))


def chunks(order: torch.Tensor, size: int) -> list[torch.Tensor]:
    """(n,) rows in batches of `size`. A last batch of one image joins the batch before it:
    BatchNorm cannot train on one."""
    parts = list(order.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def _check(preprocessing: Preprocessing) -> None:
    size, shorter = preprocessing.image_size, preprocessing.resize
    if shorter != "square" and shorter < size:
        raise UserError(f"resize: {shorter} is less than the image size {size}, which is cut out "
                        f"of it; choose {size} or more, or square for no cut")
    if preprocessing.interpolation not in INTERPOLATIONS:
        raise UserError(f"interpolation: {preprocessing.interpolation!r} is unknown"
                        f"{nearest(preprocessing.interpolation, INTERPOLATIONS)}; allowed are "
                        f"{', '.join(INTERPOLATIONS)}")
