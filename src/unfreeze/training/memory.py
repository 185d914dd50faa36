"""Micro-batches: a batch one part after another where memory is too small for it whole, and each
process its share of it. The result is that of the whole batch, within rounding.

Layers that look beyond one image do so over the whole batch: dropout and stochastic depth draw for
the whole batch and use the rows that are theirs; BatchNorm takes its statistics over the images of
all processes (together/batchnorm.py). Random numbers that a model's own code draws are drawn by
each micro-batch for itself.
"""

from collections.abc import Iterator

import torch
from torch import nn
from torchvision.ops import StochasticDepth

from unfreeze.training import randomness
from unfreeze.training.together import batchnorm, reduce
from unfreeze.training.together.share import Share


class MicroBatches:
    """How the batches of a model are divided.

    Args:
        model: some of its layers change their kind as soon as batches are divided; tensors and
            their names stay.

    Attributes:
        count: micro-batches of a batch, one after another in this process.
        share: what is being computed.

    Raises:
        UserError: several processes, and a layer takes statistics in one process only.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model, self.count, self.share = model, 1, Share()
        if reduce.count() > 1:
            self._install()

    def of(self, images: int) -> Iterator[tuple[slice, float]]:
        """The rows of each micro-batch of a batch of `images` that this process computes, and what
        they count for: 1, or less where other processes compute the same. A micro-batch is used up
        before the next."""
        own, self.share.copies = reduce.rows(images)
        size = -(-(own.stop - own.start) // self.count)
        device = next(self._model.parameters()).device
        state = randomness.state(device) if size < own.stop - own.start else None
        try:
            for start in range(own.start, own.stop, size):
                if state is not None:  # each micro-batch draws what the whole batch does
                    randomness.restore(state, device)
                rows = slice(start, min(start + size, own.stop))
                self.share.images, self.share.rows = images, rows
                yield rows, 1 / self.share.copies
        finally:
            self.share.images = 0

    def halve(self, images: int) -> bool:
        """From now on compute in micro-batches of half the size.

        Args:
            images: of the largest batch.

        Returns:
            Whether that can be: not where BatchNorm takes its statistics over the batch, which
            would then be those of a micro-batch, nor where a micro-batch is one image already.
        """
        own, _ = reduce.rows(images)
        if (self.count >= own.stop - own.start
                or any(_takes_statistics(layer) for layer in self._model.modules())):
            return False
        self._install()
        self.count *= 2
        return True

    def _install(self) -> None:
        for layer in self._model.modules():
            layer.__class__ = _KINDS.get(type(layer), type(layer))
            if isinstance(layer, _Drawing):
                layer.share = self.share
        if reduce.count() > 1:
            batchnorm.install(self._model, self.share)


def _takes_statistics(layer: nn.Module) -> bool:
    return layer.training and isinstance(layer, nn.modules.batchnorm._BatchNorm)


class _Drawing:
    """A layer that multiplies by a random mask."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, ...) to the same."""
        rows = self.share.rows
        part = rows.stop - rows.start
        if not self.training or not self.p or self.share.images in (0, part) or len(x) != part:
            return super().forward(x)
        # A mask of a whole image or channel has one number for it, whatever the size.
        shape = (x.shape[1:] if isinstance(self, nn.Dropout) else
                 [x.shape[1] if isinstance(self, nn.Dropout2d) else 1, *[1] * (x.dim() - 2)])
        whole = torch.ones(self.share.images, *shape, dtype=x.dtype, device=x.device)
        if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
            # Masks are drawn in the order in which numbers lie.
            whole = whole.contiguous(memory_format=torch.channels_last)
        # A copy, or the backward pass would keep all of it.
        return x * super().forward(whole)[rows].clone()


class _Dropout(_Drawing, nn.Dropout):
    pass


class _Dropout2d(_Drawing, nn.Dropout2d):
    pass


class _StochasticDepth(_Drawing, StochasticDepth):
    pass


_KINDS = {nn.Dropout: _Dropout, nn.Dropout2d: _Dropout2d, StochasticDepth: _StochasticDepth}
