"""A batch in pieces: by several processes at the same time, or one after another where memory is
too small for it whole. The result is that of the whole batch, within rounding.

Layers that look beyond one image do so over the whole batch: BatchNorm takes its statistics over
the images of all processes (as torch.nn.SyncBatchNorm, which is for GPUs only); dropout and
stochastic depth draw for the whole batch and use the rows that are theirs. Random numbers that a
model's own code draws are drawn by each piece for itself.
What depends on it: loop.py and replicate.py.
"""

from collections.abc import Iterator

import torch
from torch import nn
from torchvision.ops import StochasticDepth

from unfreeze.errors import UserError
from unfreeze.training import randomness
from unfreeze.training.together import processes
from unfreeze.tuning.frozen import FrozenBatchNorm2d


class Pieces:
    """How the batches of a model are divided.

    Args:
        model: some of its layers change their kind as soon as batches are divided; tensors and
            their names stay.

    Attributes:
        count: pieces one after another, in this process.
        whole, rows: images of the batch that is being computed, 0 for none, and which of them are
            in the piece (a slice).
        copies: how many processes compute the same rows.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model, self.count = model, 1
        self.whole, self.rows, self.copies = 0, slice(0, 0), 1
        if processes.count() > 1:
            self._install()

    def of(self, images: int) -> Iterator[tuple[slice, float]]:
        """The rows of each piece of a batch that this process computes, and what they count for:
        1, or less where other processes compute the same. A piece is used up before the next."""
        own, self.copies = processes.rows(images)
        size = -(-(own.stop - own.start) // self.count)
        device = next(self._model.parameters()).device
        state = randomness.state(device) if size < own.stop - own.start else None
        try:
            for start in range(own.start, own.stop, size):
                if state is not None:  # each piece draws what the whole batch does
                    randomness.restore(state, device)
                self.whole, self.rows = images, slice(start, min(start + size, own.stop))
                yield self.rows, 1 / self.copies
        finally:
            self.whole = 0

    def halve(self, images: int) -> bool:
        """From now on compute in pieces of half the size.

        Args:
            images: of the largest batch.

        Returns:
            Whether that can be: not where BatchNorm takes its statistics over the batch, which
            would then be those of a piece, nor where a piece is one image already.
        """
        own, _ = processes.rows(images)
        if (self.count >= own.stop - own.start
                or any(_takes_statistics(layer) for layer in self._model.modules())):
            return False
        self._install()
        self.count *= 2
        return True

    def _install(self) -> None:
        for layer in self._model.modules():
            if (isinstance(layer, nn.modules.batchnorm._BatchNorm) and processes.count() > 1
                    and type(layer) not in (*_KINDS, *_KINDS.values())):
                raise UserError(f"UNFREEZE_PROCESSES={processes.count()}: this model has layers of "
                                f"the kind {type(layer).__name__}, which take their statistics in "
                                "one process only; unset it")
            if type(layer) in _KINDS:
                layer.__class__ = _KINDS[type(layer)]
            if type(layer) in _KINDS.values():
                layer._pieces = self


def _takes_statistics(layer: nn.Module) -> bool:
    return layer.training and isinstance(layer, nn.modules.batchnorm._BatchNorm)


class _Drawing:
    """A layer that multiplies by a random mask."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pieces = self._pieces
        part = pieces.rows.stop - pieces.rows.start
        if not self.training or not self.p or pieces.whole in (0, part) or len(x) != part:
            return super().forward(x)
        # A mask of a whole image or channel has one number for it, whatever the size.
        shape = (x.shape[1:] if isinstance(self, nn.Dropout) else
                 [x.shape[1] if isinstance(self, nn.Dropout2d) else 1, *[1] * (x.dim() - 2)])
        whole = torch.ones(pieces.whole, *shape, dtype=x.dtype, device=x.device)
        if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
            # Masks are drawn in the order in which numbers lie.
            whole = whole.contiguous(memory_format=torch.channels_last)
        # A copy, or the backward pass would keep all of it.
        return x * super().forward(whole)[pieces.rows].clone()


class _Dropout(_Drawing, nn.Dropout):
    pass


class _Dropout2d(_Drawing, nn.Dropout2d):
    pass


class _StochasticDepth(_Drawing, StochasticDepth):
    pass


class _Sum(torch.autograd.Function):
    """The sum over all processes, and of its gradients too."""

    @staticmethod
    def forward(ctx, x):
        return processes.total(x.clone())

    @staticmethod
    def backward(ctx, gradient):
        return processes.total(gradient.clone())


class _TogetherNorm:
    """BatchNorm over the images of all processes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or not self._pieces.whole or processes.count() == 1:
            return super().forward(x)
        values = x.float()
        dimensions = [d for d in range(x.dim()) if d != 1]
        shape = [-1 if d == 1 else 1 for d in range(x.dim())]
        count = processes.total(torch.tensor(float(x.numel() // x.shape[1]), device=x.device))
        mean = _Sum.apply(values.sum(dimensions)) / count
        centred = values - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(dimensions)) / count
        if self.running_mean is not None:
            with torch.no_grad():
                self.num_batches_tracked += 1
                share = (1 / self.num_batches_tracked.item() if self.momentum is None
                         else self.momentum)
                n = count / self._pieces.copies
                self.running_mean.lerp_(mean, share)
                self.running_var.lerp_(variance * n / (n - 1), share)
        scaled = centred * (variance + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            scaled = torch.addcmul(self.bias.view(shape), scaled, self.weight.view(shape))
        return scaled.to(x.dtype)


class _BatchNorm1d(_TogetherNorm, nn.BatchNorm1d):
    pass


class _BatchNorm2d(_TogetherNorm, FrozenBatchNorm2d):
    pass


_KINDS = {nn.Dropout: _Dropout, nn.Dropout2d: _Dropout2d, StochasticDepth: _StochasticDepth,
          nn.BatchNorm1d: _BatchNorm1d, nn.BatchNorm2d: _BatchNorm2d,
          FrozenBatchNorm2d: _BatchNorm2d}
