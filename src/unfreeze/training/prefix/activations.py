"""What frozen leading layers put out, in the place of the images: computed at every reading, or
read from where it is kept, with the same result bit for bit.

Both ways the layers see batches of one size (on processors the last bits of a product depend on
it), and what they put out goes through the same form.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from unfreeze.data.reading.augmentation import Chain, Generators
from unfreeze.data.reading.images import Images, chunks
from unfreeze.data.reading.pixels import on_device
from unfreeze.data.reading.row_file import RowFile, read_ahead
from unfreeze.training import folding
from unfreeze.training.devices import Device
from unfreeze.training.prefix.cut import NoCut

Batch = tuple[tuple[torch.Tensor, ...], torch.Tensor]  # outputs for B images, (B,) int64 labels


@dataclass(frozen=True)
class Form:
    """How the outputs for an image lie in a row of bytes: one after another, each with its
    dimensions in the order of their strides, so that channels_last stays what it is.

    Attributes:
        dtypes: of each output.
        orders: its dimensions but the batch, the largest stride first.
        shapes: of one image, in that order.
        sizes: bytes of one image.
    """

    dtypes: tuple[torch.dtype, ...]
    orders: tuple[tuple[int, ...], ...]
    shapes: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, outputs: tuple[torch.Tensor, ...]) -> "Form":
        """That of some outputs, the batch first in each."""
        orders = tuple(tuple(sorted(range(1, output.dim()), key=lambda d: -output.stride(d)))
                       for output in outputs)
        shapes = tuple(tuple(output.shape[d] for d in order)
                       for output, order in zip(outputs, orders, strict=True))
        return cls(tuple(output.dtype for output in outputs), orders, shapes, tuple(
            math.prod(shape) * output.element_size()
            for output, shape in zip(outputs, shapes, strict=True)))

    @property
    def nbytes(self) -> int:
        """Of a row."""
        return sum(self.sizes)

    def pack(self, outputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Outputs for B images to (B, nbytes) uint8."""
        return torch.cat([
            output.permute(0, *order).reshape(len(output), -1).contiguous().view(torch.uint8)
            for output, order in zip(outputs, self.orders, strict=True)], dim=1)

    def unpack(self, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(B, nbytes) uint8 to the outputs for B images."""
        # Copies begin where vector instructions want them to.
        parts = [part.clone(memory_format=torch.contiguous_format)
                 for part in rows.split(self.sizes, dim=1)]
        return tuple(
            part.view(dtype).reshape(len(rows), *shape).permute(
                torch.argsort(torch.tensor((0, *order))).tolist())
            for part, dtype, order, shape in
            zip(parts, self.dtypes, self.orders, self.shapes, strict=True))


class Recomputed:
    """In the place of `Images`: yields what leading layers put out for them, a tuple of tensors for
    the images of a batch, computed at every reading.

    Args:
        prefix: (batch_size, 3, S, S) images to that tuple.
        form: of the outputs.
        images: that the layers see.
        batch_size: how many of them at a time, always.
        device: where.
    """

    def __init__(self, prefix: nn.Module, form: Form, images: Images, batch_size: int,
                 device: Device) -> None:
        self._prefix, self._images = prefix, images
        self.form, self.batch_size, self.device = form, batch_size, device
        self.labels = images.labels
        # Once, as long as these layers are frozen.
        self._folded = folding.folded(prefix)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[Batch]:
        """As `Images.batches`, in evaluation mode."""
        self._prefix.eval()
        for images, labels in self._images.batches(size):
            yield self.form.unpack(self.compute(images)), labels

    def shuffled(self, size: int, augmentation: Chain, generator: Generators) -> Iterator[Batch]:
        """As `Images.shuffled`."""
        for images, labels in self._images.shuffled(size, augmentation, generator):
            yield self.form.unpack(self.compute(images)), labels

    def rows(self, augmentation: Chain | None, label: str) -> Iterator[np.ndarray]:
        """(B, form.nbytes) uint8 of all images in order, in each of their variants, in the mode
        that the layers are in.

        Args:
            augmentation: of training, which reads images in another order each time, and in each
                variant; None: of evaluation, which takes them as they are.
            label: for the progress bar.

        Raises:
            NoCut: as of `check`, for training.
        """
        # In training as training computes, which is not in every bit as evaluation does.
        mode = torch.inference_mode if augmentation is None else torch.enable_grad
        checked = augmentation is None
        with tqdm(desc=f"{label}: frozen layers", total=len(self) * variants(augmentation),
                  unit="image", disable=None, leave=False) as bar:
            for number in range(variants(augmentation)):
                for images, labels in self._images.batches(
                        self.batch_size, _to_variant(augmentation, number)):
                    with mode():
                        rows = self.compute(images)
                        if not checked:
                            self.check(images, rows)
                            checked = True
                        made = rows.cpu().numpy()
                    yield made
                    bar.update(len(labels))

    def check_first(self) -> None:
        """`check` of the first batch."""
        images, _ = next(iter(self._images.batches(self.batch_size)))
        self.check(images, self.compute(images))

    def check(self, images: torch.Tensor, rows: torch.Tensor) -> None:
        """Put images into another order and another company, and see whether that shows.

        Args:
            images: (B, 3, S, S). rows: what came out for them.

        Raises:
            NoCut: what an image gives depends on its place in a batch, or on the others.
        """
        other = images.flip(0)
        other[-1] = other[0]
        if not torch.equal(rows[1:], self.compute(other).flip(0)[1:]):
            raise NoCut("what the frozen layers put out for an image depends on its batch")

    def compute(self, images: torch.Tensor) -> torch.Tensor:
        """(B, form.nbytes) uint8 of any number of images. What lacks to a whole batch is filled
        with copies of the last one."""
        missing = -len(images) % self.batch_size
        filled = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images
        with self.device.autocast(), self._folded.applied():
            parts = [self.form.pack(self._prefix(
                part.contiguous(memory_format=torch.channels_last)))
                for part in filled.split(self.batch_size)]
        return torch.cat(parts)[:len(images)]


class Kept:
    """As `Recomputed`, read from where the outputs are kept.

    Args:
        rows: (variants * N, form.nbytes) uint8, all images in one variant after another.
        form: of the outputs.
        images: whose outputs they are.
    """

    def __init__(self, rows: torch.Tensor | RowFile, form: Form, images: Images) -> None:
        self._rows, self._form, self._device = rows, form, images.device
        self.labels = images.labels

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[Batch]:
        """As `Images.batches`."""
        yield from self._read(list(torch.arange(len(self)).split(size)),
                              torch.zeros(len(self), dtype=torch.int64))

    def shuffled(self, size: int, augmentation: Chain, generator: Generators) -> Iterator[Batch]:
        """As `Images.shuffled`."""
        draws = augmentation.draw(len(self), generator)
        yield from self._read(chunks(draws.order, size), augmentation.variant_of(draws))

    def _read(self, parts: list[torch.Tensor], variant: torch.Tensor) -> Iterator[Batch]:
        kept = [images + len(self) * variant[images] for images in parts]
        if isinstance(self._rows, RowFile):
            read = read_ahead(self._rows, [rows.numpy() for rows in kept], self._device)
        else:
            read = (self._rows[rows] for rows in on_device(kept, self._device))
        for images, rows in zip(on_device(parts, self._device), read, strict=True):
            yield self._form.unpack(rows), self.labels[images]


def variants(augmentation: Chain | None) -> int:
    """In how many ways an image is seen; None: as it is, in evaluation."""
    return 1 if augmentation is None else augmentation.variants


def _to_variant(augmentation: Chain | None, number: int):
    if augmentation is None:
        return None
    return lambda images: augmentation.apply_variant(images, number)
