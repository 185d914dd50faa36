"""BatchNorm over the images of all processes, as torch.nn.SyncBatchNorm, which is for GPUs only."""

import torch
from torch import nn

from unfreeze.errors import UserError
from unfreeze.training.together import reduce
from unfreeze.training.together.share import Share
from unfreeze.tuning.lean import LeanBatchNorm2d


def install(model: nn.Module, share: Share) -> None:
    """Let every BatchNorm of a model take its statistics over all processes. Tensors and their
    names stay.

    Args:
        share: what is being computed; outside of batches the layers are what they were.

    Raises:
        UserError: a layer of another kind takes statistics.
    """
    for layer in model.modules():
        if not isinstance(layer, nn.modules.batchnorm._BatchNorm):
            continue
        if type(layer) not in (*_KINDS, *_KINDS.values()):
            raise UserError(f"UNFREEZE_PROCESSES={reduce.count()}: this model has layers of the "
                            f"kind {type(layer).__name__}, which take their statistics in one "
                            "process only; unset it")
        layer.__class__ = _KINDS.get(type(layer), type(layer))
        layer.share = share


class _Sum(torch.autograd.Function):
    """The sum over all processes, and of its gradients too."""

    @staticmethod
    def forward(ctx, x):
        return reduce.total(x.clone())

    @staticmethod
    def backward(ctx, gradient):
        return reduce.total(gradient.clone())


class _TogetherNorm:
    """BatchNorm whose batch is that of all processes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, ...) to the same."""
        if not self.training or not self.share.images or reduce.count() == 1:
            return super().forward(x)
        values = x.float()
        dimensions = [d for d in range(x.dim()) if d != 1]
        shape = [-1 if d == 1 else 1 for d in range(x.dim())]
        count = reduce.total(torch.tensor(float(x.numel() // x.shape[1]), device=x.device))
        mean = _Sum.apply(values.sum(dimensions)) / count
        centred = values - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(dimensions)) / count
        if self.running_mean is not None:
            self._update_statistics(mean, variance, count / self.share.copies)
        scaled = centred * (variance + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            scaled = torch.addcmul(self.bias.view(shape), scaled, self.weight.view(shape))
        return scaled.to(x.dtype)

    @torch.no_grad()
    def _update_statistics(self, mean: torch.Tensor, variance: torch.Tensor,
                           values: torch.Tensor) -> None:
        self.num_batches_tracked += 1
        momentum = (1 / self.num_batches_tracked.item() if self.momentum is None
                    else self.momentum)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * values / (values - 1), momentum)


class _BatchNorm1d(_TogetherNorm, nn.BatchNorm1d):
    pass


class _BatchNorm2d(_TogetherNorm, LeanBatchNorm2d):
    pass


_KINDS = {nn.BatchNorm1d: _BatchNorm1d, nn.BatchNorm2d: _BatchNorm2d, LeanBatchNorm2d: _BatchNorm2d}
