"""A function over many tasks in several processes, with a bounded number of tasks in flight.

The processes are spawned, not forked: a fork copies the locks that other threads (a progress
bar's, NumPy's) happen to hold, and can wait for them for ever. What is spawned would run the script
that asked for it once more, which a script of three lines is not made for: it is kept from that.
"""

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import TypeVar

from unfreeze.errors import UserError

Task = TypeVar("Task")
Result = TypeVar("Result")
_IN_FLIGHT = 3  # tasks a worker: one in work, the others waiting in the queue


def run(work: Callable[[Task], Result], tasks: Iterable[Task], workers: int) -> Iterator[Result]:
    """`work(task)` of every task, in the order in which they end.

    Args:
        work: a function of a module; of the script itself only where that can be run again.
        tasks: read as they are needed.
        workers: processes; with 1, or one task only, all happens in this one.

    Raises:
        UserError: no memory is left, or a worker died; and whatever `work` or `tasks` raises.
    """
    tasks = iter(tasks)
    first = list(islice(tasks, 2))
    tasks = chain(first, tasks)
    alone = workers == 1 or len(first) < 2
    try:
        yield from map(work, tasks) if alone else _run(work, tasks, workers)
    except (BrokenProcessPool, MemoryError, SystemError):  # C code that got no memory and said none
        raise UserError("memory ran out, or a process that works for this one was killed; fewer "
                        "processes need less: set UNFREEZE_WORKERS=1") from None


class _Process(SpawnProcess):
    """Does not begin with the script of the one that starts it."""

    @staticmethod
    def _Popen(process: SpawnProcess):
        script = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")  # of no file, and so of nothing to run
        try:
            return SpawnProcess._Popen(process)
        finally:
            sys.modules["__main__"] = script


class _Context(SpawnContext):
    Process = _Process


def _run(work: Callable[[Task], Result], tasks: Iterator[Task], workers: int) -> Iterator[Result]:
    context = SpawnContext() if work.__module__ == "__main__" else _Context()
    pool = ProcessPoolExecutor(workers, context, begin)
    try:
        pending = set()
        for task in tasks:
            pending.add(pool.submit(work, task))
            if len(pending) >= _IN_FLIGHT * workers:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        pool.shutdown(cancel_futures=True)


def begin() -> None:
    """What a process that works for another does first."""
    gc.enable()  # the script that is imported here may be a stage, which begins without
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends the workers
    sys.unraisablehook = _unless_of_memory
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _unless_of_memory(unraisable: "sys.UnraisableHookArgs") -> None:
    """Libraries that look back at the end find no memory either, and who waits tells of that."""
    if not issubclass(unraisable.exc_type, MemoryError):
        sys.__unraisablehook__(unraisable)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for tasks for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)
