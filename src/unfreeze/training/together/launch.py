"""Several processes that train one run together: one on each GPU, or each with as many threads as
the recipe says.

The process of the stage is the first. It starts the others, which run the same script with the same
arguments; where something else has started them all (torchrun, `accelerate launch`), they find one
another through the same variables. Only the first writes.
"""

import atexit
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
from datetime import timedelta
from typing import TextIO

import torch
import torch.distributed as dist

from unfreeze import environment
from unfreeze.errors import UserError
from unfreeze.training.together import reduce

_PR_SET_PDEATHSIG = 1  # of prctl.h
_others: list[subprocess.Popen] = []


def begin(on_cpu: bool) -> None:
    """Start the other processes that UNFREEZE_PROCESSES asks for, or join those that there are.

    Args:
        on_cpu: they talk through gloo; else through NCCL, a GPU for each.

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

    threads = torch.get_num_threads()
    os.environ["OMP_NUM_THREADS"] = str(threads)  # or Accelerate would choose, and warn
    try:
        # Others may wait for hours while the first computes what frozen layers put out. One that
        # is no more is noticed by `_watch`.
        PartialState(cpu=on_cpu, timeout=timedelta(days=7))
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{count_wanted} processes that are to train together cannot find one "
                        f"another ({str(error).splitlines()[0]}); run the same command again, or "
                        "unset UNFREEZE_PROCESSES") from None
    if reduce.count() != count_wanted:
        raise UserError(f"WORLD_SIZE={count_wanted}: found {reduce.count()} process; unset it, "
                        "and let UNFREEZE_PROCESSES say how many")
    torch.set_num_threads(threads)


def finish() -> None:
    """Part from the others, when all have come this far."""
    others = list(_others)
    if reduce.count() > 1:
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

    def variables(rank: int) -> dict[str, str]:
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
        other = subprocess.Popen([sys.executable, *sys.argv], env=os.environ | variables(rank),
                                 stdout=subprocess.DEVNULL, stderr=said, preexec_fn=end_with_us)
        _others.append(other)
        threading.Thread(target=_watch, args=(other, rank, said), daemon=True).start()
    os.environ |= variables(0)


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
    errors = [line for line in lines if line.startswith("error: ")]
    # What a killed process said last, a warning perhaps, is not why.
    silent = other.returncode == -signal.SIGKILL or not lines
    why = "it was killed" if silent else lines[-1]
    print(errors[-1] if errors else
          f"error: one of {count} processes that train together stopped ({why}); run the "
          "same command again, or unset UNFREEZE_PROCESSES", file=sys.stderr, flush=True)
    os._exit(1)


def _stop() -> None:
    while _others:
        _others.pop().kill()


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
