"""How many replicates are trained at the same time, and on which devices."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unfreeze import environment
from unfreeze.ahead.task import Task
from unfreeze.training import arithmetic


@dataclass(frozen=True)
class Slots:
    """Room for replicates.

    Attributes:
        devices: where each slot trains, as UNFREEZE_DEVICE names it; one that is named twice has
            two replicates at a time.
        cores, memory: that replicates on processors share, each with as many cores as it has
            threads, and bytes; None: there is no need to count.
    """

    devices: tuple[str, ...]
    cores: int | None = None
    memory: int | None = None

    def fits(self, task: Task, running: Sequence[Task]) -> bool:
        """Whether a replicate may start beside others. One that wants more than there is may if it
        is alone."""
        together = [*running, task]
        return not running or (
            len(together) <= len(self.devices)
            and (self.cores is None or sum(each.threads for each in together) <= self.cores)
            and (self.memory is None or sum(each.memory for each in together) <= self.memory))


def available() -> Slots:
    """The slots that UNFREEZE_SLOTS and the machine give.

    Raises:
        UserError: UNFREEZE_SLOTS or UNFREEZE_DEVICE is none that is allowed.
    """
    wanted, device = environment.slots(), environment.device_name()
    if environment.processes() > 1 or os.environ.get("WORLD_SIZE", "1") != "1":
        return Slots((device,))  # a single run takes all that there is
    gpus = _gpus(device)
    if gpus:
        count = wanted or len(gpus) * environment.per_gpu()
        return Slots(tuple(gpus[slot % len(gpus)] for slot in range(count)))
    if wanted:
        return Slots(("cpu",) * wanted)
    cores = len(os.sched_getaffinity(0))
    return Slots(("cpu",) * cores, cores, _free_memory())


def _free_memory() -> int | None:
    """Bytes that processes may take before others have to give some up; None where the system does
    not say."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _gpus(device: str) -> list[str]:
    """The GPUs that replicates are to be trained on; [] for none."""
    if device == "cpu" or arithmetic.without_torch():
        return []
    from unfreeze.training import devices  # here, since it imports torch

    chosen = devices.wanted()
    if chosen.type != "cuda":
        return []
    count = devices.torch.cuda.device_count()
    return [device] if chosen.index is not None else [f"cuda:{number}" for number in range(count)]
