"""How many replicates are trained at the same time, and on which devices."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from unfreeze import environment

# Of a GPU that CUDA or ROCm could use: without one, torch need not be asked.
_GPU_FILES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


@dataclass(frozen=True)
class Slots:
    """Room for replicates.

    Attributes:
        devices: where each slot trains, as UNFREEZE_DEVICE names it; one that is named twice has
            two replicates at a time.
        cores: that the replicates on processors share, each with as many as it has threads; None:
            they are not counted.
    """

    devices: tuple[str, ...]
    cores: int | None

    def fits(self, running: Sequence[int], threads: int) -> bool:
        """Whether a replicate of so many threads may start beside those of `running`. One that
        wants more than there are has all."""
        if len(running) >= len(self.devices):
            return False
        return self.cores is None or not running or sum(running) + threads <= self.cores


def available() -> Slots:
    """The slots that UNFREEZE_SLOTS and the machine give.

    Raises:
        UserError: UNFREEZE_SLOTS or UNFREEZE_DEVICE is none that is allowed.
    """
    wanted, device = environment.slots(), environment.device_name()
    if environment.processes() > 1 or os.environ.get("WORLD_SIZE", "1") != "1":
        return Slots((device,), None)  # a single run takes all that there is
    gpus = _gpus(device)
    if gpus:
        count = wanted or len(gpus)
        return Slots(tuple(gpus[slot % len(gpus)] for slot in range(count)), None)
    cores = len(os.sched_getaffinity(0))
    return Slots(("cpu",) * (wanted or cores), None if wanted else cores)


def _gpus(device: str) -> list[str]:
    """The GPUs that replicates are to be trained on; [] for none."""
    if device == "cpu" or (device == "auto" and not any(map(os.path.exists, _GPU_FILES))):
        return []
    from unfreeze.training import devices  # here, since it imports torch

    chosen = devices.wanted()
    if chosen.type != "cuda":
        return []
    count = devices.torch.cuda.device_count()
    return [device] if chosen.index is not None else [f"cuda:{number}" for number in range(count)]
