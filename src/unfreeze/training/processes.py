"""Several processes that train one run together: one on each GPU, or each with its share of the
cores.

The process of the stage is the first. It starts the others, which run the same script with the same
arguments; where something else has started them all (torchrun, `accelerate launch`), they find one
another through the same variables. Only the first writes.
What depends on it: the stage train, devices.py, loop.py, pieces.py, replicate.py, checkpoint.py.
"""

import atexit
import contextlib
import ctypes
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from typing import TextIO

import torch
import torch.distributed as dist

from unfreeze import environment
from unfreeze.errors import UserError

_others: list[subprocess.Popen] = []


def count() -> int:
    """How many train this run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if count() > 1 else 0


def begin(on_cpu: bool) -> None:
    """Start the other processes that UNFREEZE_PROCESSES asks for, or join those that there are.

    Args:
        on_cpu: they talk through gloo, and share the cores; else through NCCL, a GPU for each.
    """
    wanted = environment.processes()
    if "WORLD_SIZE" not in os.environ:
        if wanted == 1:
            return
        _start(wanted)
    # Not above: its import costs as much as torch's.
    from accelerate import PartialState

    here = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    threads = max(1, torch.get_num_threads() // here) if on_cpu else torch.get_num_threads()
    os.environ["OMP_NUM_THREADS"] = str(threads)  # or Accelerate would choose, and warn
    PartialState(cpu=on_cpu)
    torch.set_num_threads(threads)


def finish() -> None:
    """Part from the others, when all have come this far."""
    if count() > 1:
        dist.barrier()
        dist.destroy_process_group()
    for other in _others:
        other.wait()
    _others.clear()


def _start(count: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1",
              "MASTER_PORT": port}

    def place(rank: int) -> dict[str, str]:
        return {name: str(value) for name, value in
                (common | {"RANK": rank, "LOCAL_RANK": rank}).items()}

    atexit.register(_stop)
    for rank in range(1, count):
        said = tempfile.TemporaryFile("w+")
        other = subprocess.Popen([sys.executable, *sys.argv], env=os.environ | place(rank),
                                 stdout=subprocess.DEVNULL, stderr=said, preexec_fn=_end_with_us)
        _others.append(other)
        threading.Thread(target=_watch, args=(other, rank, said), daemon=True).start()
    os.environ |= place(0)


def _end_with_us() -> None:
    """Should the first process be killed, the system kills this one."""
    if platform.system() == "Linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl.h
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _watch(other: subprocess.Popen, rank: int, said: TextIO) -> None:
    """Where one ends before its time, the rest would wait for it for ever."""
    if other.wait() and other in _others:
        count = len(_others) + 1
        said.seek(0)
        last = (said.read().strip().splitlines() or ["it was killed"])[-1]
        last = last.removeprefix(f"[rank{rank}]: ")  # torch's
        _stop()
        print(last if last.startswith("error: ") else
              f"error: one of {count} processes that train together stopped ({last}); "
              "run the same command again, or unset UNFREEZE_PROCESSES", file=sys.stderr,
              flush=True)
        os._exit(1)


def _stop() -> None:
    while _others:
        _others.pop().kill()


@contextlib.contextmanager
def first() -> Iterator[None]:
    """What is inside the first process does before the others."""
    if count() > 1 and rank():
        dist.barrier()
    try:
        yield
    finally:
        if count() > 1 and not rank():
            dist.barrier()


def rows(images: int) -> tuple[slice, int]:
    """Which images of a batch are this process's, and how many processes have the same ones: 1, or
    all where there are fewer images than processes, since none may be without."""
    others = count()
    if images < others:
        return slice(0, images), others
    return slice(images * rank() // others, images * (rank() + 1) // others), 1


def total(tensor: torch.Tensor) -> torch.Tensor:
    """Put the sum over all processes into a tensor, which is returned."""
    if count() > 1:
        dist.all_reduce(tensor)
    return tensor


def total_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Put into each gradient its sum over all processes."""
    if count() == 1:
        return
    by_dtype: dict[torch.dtype, list[torch.Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            by_dtype.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in by_dtype.values():
        flat = total(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]),
                                  strict=True):
            gradient.copy_(part.view_as(gradient))


def device_index(devices: int) -> int:
    """Which of the CUDA devices is this process's.

    Raises:
        UserError: there are fewer than processes.
    """
    here, wanted = int(os.environ.get("LOCAL_RANK", 0)), environment.processes()
    if max(here + 1, wanted) > devices:
        raise UserError(f"UNFREEZE_PROCESSES={max(here + 1, wanted)}: there are {devices} CUDA "
                        f"devices here; allowed is 1 to {devices}, one process on each")
    return here
