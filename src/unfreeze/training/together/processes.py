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
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TextIO

import torch
import torch.distributed as dist

from unfreeze import environment
from unfreeze.errors import UserError

_PR_SET_PDEATHSIG = 1  # of prctl.h
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

    Raises:
        UserError: they cannot find one another.
    """
    wanted = environment.processes()
    if os.environ.get("WORLD_SIZE", "1") == "1":
        if wanted == 1:
            return
        _start(wanted)
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT"):
        if not os.environ.get(name, "").isdecimal():
            raise UserError(f"{name}={os.environ.get(name, '')}: must be a number where WORLD_SIZE "
                            "is set, as torchrun sets it; or unset WORLD_SIZE")
    count_wanted = int(os.environ["WORLD_SIZE"])
    # Not above: its import costs as much as torch's.
    from accelerate import PartialState

    here = int(os.environ.get("LOCAL_WORLD_SIZE", count_wanted))
    threads = max(1, torch.get_num_threads() // here) if on_cpu else torch.get_num_threads()
    os.environ["OMP_NUM_THREADS"] = str(threads)  # or Accelerate would choose, and warn
    try:
        # Others may wait for hours while the first computes what frozen layers put out. One that
        # is no more is noticed by `_watch`.
        PartialState(cpu=on_cpu, timeout=timedelta(days=7))
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{count_wanted} processes that are to train together cannot find one "
                        f"another ({str(error).splitlines()[0]}); run the same command again, or "
                        "unset UNFREEZE_PROCESSES") from None
    if count() != count_wanted:
        raise UserError(f"WORLD_SIZE={count_wanted}: found {count()} process; unset it, and let "
                        "UNFREEZE_PROCESSES say how many")
    torch.set_num_threads(threads)


def finish() -> None:
    """Part from the others, when all have come this far."""
    others = list(_others)
    if count() > 1:
        dist.barrier()
        _others.clear()  # each may end from here on, before this one has parted from it
        dist.destroy_process_group()
    for other in others:
        other.wait()


def _start(count: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1",
              "MASTER_PORT": port}

    def place(rank: int) -> dict[str, str]:
        return {name: str(value) for name, value in
                (common | {"RANK": rank, "LOCAL_RANK": rank}).items()}

    # Loaded before the fork, in which no locks may be taken.
    libc = ctypes.CDLL(None) if platform.system() == "Linux" else None

    def end_with_us() -> None:
        """Should the first process be killed, the system kills this one."""
        if libc:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    atexit.register(_stop)
    for rank in range(1, count):
        said = tempfile.TemporaryFile("w+", errors="replace")
        other = subprocess.Popen([sys.executable, *sys.argv], env=os.environ | place(rank),
                                 stdout=subprocess.DEVNULL, stderr=said, preexec_fn=end_with_us)
        _others.append(other)
        threading.Thread(target=_watch, args=(other, rank, said), daemon=True).start()
    os.environ |= place(0)


def _watch(other: subprocess.Popen, rank: int, said: TextIO) -> None:
    """Where one ends before its time, the rest would wait for it for ever."""
    other.wait()
    time.sleep(1)  # in which the first may say what is wrong itself, or come to the end too
    if other not in _others:
        return
    count = len(_others) + 1
    said.seek(0)
    lines = [line.removeprefix(f"[rank{rank}]: ")  # torch's
             for line in said.read().strip().splitlines()]
    _stop()
    own = [line for line in lines if line.startswith("error: ")]
    # What one that was killed said last, a warning perhaps, is not why.
    silent = other.returncode == -signal.SIGKILL or not lines
    why = "it was killed" if silent else lines[-1]
    print(own[-1] if own else
          f"error: one of {count} processes that train together stopped ({why}); run the "
          "same command again, or unset UNFREEZE_PROCESSES", file=sys.stderr, flush=True)
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


def same(number: int) -> bool:
    """Whether all processes come here with the same number."""
    if count() == 1:
        return True
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    most = torch.tensor([number, -number], device=device)
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return most.sum().item() == 0


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
