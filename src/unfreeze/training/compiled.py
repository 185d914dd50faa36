"""torch.compile, where it pays for itself.

Compiling takes a minute or two for each shape of a batch, so only whole batches go through the
compiled model, and the rest of an epoch through the model as it is. Whether it is worth that is
decided from the operations that lie ahead, and not from a clock: the last bits of a result depend
on it, and the same recipe on the same machine must give the same bits.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from unfreeze import environment
from unfreeze.errors import UserError
from unfreeze.training.devices import Device
from unfreeze.training.together import reduce
from unfreeze.words import quantity

# Operations of a phase from which compiling saves more than it costs. On processors: measured on
# two cores of a Zen 3 (benchmarks/compiled.py: 40 to 95 s, won back after 2e13 operations or more,
# or never). On GPUs estimated, at 5e12 operations a second and a fifth saved; not measured.
_PAYS = {"cpu": 1e14, "cuda": 2e15}


class Compiled(nn.Module):
    """A model whose whole batches are compiled.

    Args:
        model: takes images, or what leading layers put out for them.
        batch_size: of whole batches.
        accumulate: batches of a step.
    """

    def __init__(self, model: nn.Module, batch_size: int, accumulate: int, device: Device) -> None:
        super().__init__()
        torch._dynamo.reset()  # of phases and seeds before, or it would stop at the eighth
        # CUDA graphs replay a step at once, where starting its kernels one by one takes longer.
        # The gradients of a batch do not outlive the next one there.
        graphs = device.torch.type == "cuda" and accumulate == 1
        self._model, self._size = model, batch_size
        self._compiled = torch.compile(model, dynamic=False,
                                       mode="reduce-overhead" if graphs else "default")

    def forward(self, images: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
        """(N, 3, S, S) images, or a tuple with the batch first, to (N, classes) logits."""
        first = images[0] if isinstance(images, tuple) else images
        return (self._compiled if len(first) == self._size else self._model)(images)


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """Where torch.compile fails, in either pass, that is one line."""
    try:
        yield
    except torch._dynamo.exc.TorchDynamoException as error:
        lines = [line for line in str(error).splitlines()
                 if line.strip() and not line.startswith("backend=")]
        reason = lines[0] if lines else type(error).__name__
        raise UserError(f"UNFREEZE_COMPILE={environment.compiled()}: torch.compile does not work "
                        f"here for this model ({reason}); unset it") from None


def refusal(operations: float, device: Device) -> str | None:
    """Why a phase of so many operations is not compiled; None: it is."""
    if reduce.count() > 1:
        return "several processes train the run"
    if environment.compiled() == "on" or operations >= _PAYS[device.torch.type]:
        return None
    return (f"{quantity(operations, 'operations')} lie ahead, and it pays from "
            f"{quantity(_PAYS[device.torch.type], 'operations')}")
