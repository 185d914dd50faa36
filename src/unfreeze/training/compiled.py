"""torch.compile, where it pays for itself.

Compiling takes a minute or two for each shape of a batch, so only whole batches go through the
compiled model, and the rest of an epoch through the model as it is. Whether it is worth that is
decided from the operations that lie ahead, and not from a clock: the last bits of a result depend
on it, and the same recipe on the same machine must give the same bits.
What depends on it: replicate.py.
"""

import torch
from torch import nn

from unfreeze import environment
from unfreeze.errors import UserError
from unfreeze.training.devices import Device

# Operations of a phase from which compiling saves more than it costs. On processors: measured on
# two cores of a Zen 3 (benchmarks/compiled.py: 80 to 95 s, won back at 2e13 to 6e13). On GPUs
# estimated, at 5e12 operations a second and a fifth saved; not measured.
_PAYS = {"cpu": 1e14, "cuda": 2e15}


class Compiled(nn.Module):
    """A model whose whole batches are compiled.

    Args:
        model: takes images, or what leading layers put out for them.
        batch_size: of whole batches.
    """

    def __init__(self, model: nn.Module, batch_size: int, device: Device) -> None:
        super().__init__()
        # CUDA graphs replay a step at once, where starting its kernels one by one takes longer.
        mode = "reduce-overhead" if device.torch.type == "cuda" else "default"
        self._model, self._size = model, batch_size
        self._compiled = torch.compile(model, dynamic=False, mode=mode)

    def forward(self, images: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
        """(N, 3, S, S) images, or a tuple with the batch first, to (N, classes) logits."""
        first = images[0] if isinstance(images, tuple) else images
        if len(first) != self._size:
            return self._model(images)
        try:
            return self._compiled(images)
        except torch._dynamo.exc.TorchDynamoException as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(f"UNFREEZE_COMPILE={environment.compiled()}: torch.compile does not "
                            f"work here for this model ({reason}); unset it") from None


def pays(operations: float, device: Device) -> bool:
    """Whether a phase of so many operations is to be compiled."""
    wanted = environment.compiled()
    return wanted == "on" or wanted == "auto" and operations >= _PAYS[device.torch.type]
