"""BatchNorm that is frozen but for its bias, without the memory that training it would take.

What depends on it: training/.
"""

import torch
from torch import nn


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d that, while its statistics and its weight are frozen and gradients are wanted, is
    one multiply-add a channel.

    torch's own keeps the whole input for the backward pass, for the gradient of a weight that does
    not train; this keeps one number a channel. The logits that are tested come from torch's own.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to the same."""
        if self.training or self.weight.requires_grad or not torch.is_grad_enabled():
            return super().forward(x)
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        scale, shift = (each.view(1, -1, 1, 1) for each in (scale, shift))
        return torch.addcmul(shift, x.float(), scale).to(x.dtype)


def install(model: nn.Module) -> None:
    """Let every BatchNorm2d of a model be of that kind. Tensors and their names stay."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = FrozenBatchNorm2d
