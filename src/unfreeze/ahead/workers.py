"""Replicates trained by several processes, each of which stays for the next one.

The processes are forked by a server of Python's own that has imported torch and done nothing else:
one import serves them all, and no lock or GPU of this process is copied.
"""

import gc
import io
import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from tqdm import tqdm

from unfreeze import pool
from unfreeze.ahead.slots import Slots, available
from unfreeze.ahead.task import Task
from unfreeze.errors import UserError

_IMPORTED_ONCE = ["unfreeze.ahead.training"]
_TRIES = 2  # of a replicate whose process is killed
_SOURCE = Path(__file__).resolve().parents[2]


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    slot: int
    task: Task | None = None


def train(tasks: Sequence[Task], what: str) -> None:
    """Train replicates side by side, where more than one can be at a time; else nothing happens,
    and they are left to who needs them. So is one that fails.

    Args:
        what: they are, for the progress bar.
    """
    if len(tasks) < 2:
        return
    slots = available()
    if len(slots.devices) > 1:
        _Pool(slots).run(tasks, what)


class _Pool:
    """The processes.

    Args:
        slots: how many at most, and where.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots, self._most = slots, len(slots.devices)
        self._workers: list[_Worker] = []
        self._kept: set[str] = set()  # the prefixes that are in the scratch folder
        self._killed: Counter[str] = Counter()  # how often, by the task that it was at
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_IMPORTED_ONCE)

    def run(self, tasks: Sequence[Task], what: str) -> None:
        """Train tasks, the longest first.

        Args:
            what: they are, for the progress bar.
        """
        waiting = sorted(tasks, key=lambda task: -task.operations)
        try:
            with tqdm(desc=what, total=len(tasks), unit="replicate", disable=None) as bar:
                while waiting or self._busy():
                    while waiting and (task := self._next(waiting)):
                        waiting.remove(task)
                        self._start(task)
                    for worker in self._ended():
                        task, worker.task = worker.task, None
                        if not self._took(worker, task):
                            waiting.insert(0, task)
                            continue
                        self._kept.add(task.prefix)
                        bar.update()
        finally:
            for worker in self._workers:
                worker.process.kill()
            for worker in self._workers:
                worker.process.join()

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.task]

    def _next(self, waiting: Sequence[Task]) -> Task | None:
        """What starts now; None: nothing yet. While one computes what its frozen layers put out,
        others that could take it from there let the rest go before."""
        running = [worker.task for worker in self._busy()]
        computing = {task.prefix for task in running} - self._kept - {""}
        task = next((each for each in waiting if each.prefix not in computing), waiting[0])
        fits = len(running) < self._most and self._slots.fits(task, running)
        return task if fits else None

    def _start(self, task: Task) -> None:
        """In a process that has nothing to do, or else a new one."""
        worker = next((each for each in self._workers if not each.task), None) or self._new()
        worker.task = task
        try:
            worker.connection.send(task)
        except OSError:
            pass  # it is dead, as will be seen

    def _new(self) -> _Worker:
        taken = {worker.slot for worker in self._workers}
        slot = next(each for each in range(len(self._slots.devices)) if each not in taken)
        here, there = self._context.Pipe()
        process = self._context.Process(
            target=work, args=(there, self._slots.devices[slot]), daemon=True)
        # By which the server finds what it imports.
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_SOURCE), before)))
        try:
            process.start()
        finally:
            if before is None:
                del os.environ["PYTHONPATH"]
            else:
                os.environ["PYTHONPATH"] = before
        there.close()
        worker = _Worker(process, here, slot)
        self._workers.append(worker)
        return worker

    def _ended(self) -> list[_Worker]:
        """Those that have trained their replicate, or are no more."""
        ready = wait([worker.connection for worker in self._busy()])
        return [worker for worker in self._busy() if worker.connection in ready]

    def _took(self, worker: _Worker, task: Task) -> bool:
        """Take what a worker says; False: it was killed, and another is to try. Perhaps memory ran
        out, so from then on one fewer works."""
        try:
            tqdm.write(worker.connection.recv())
        except (EOFError, OSError):
            worker.process.join()
            worker.connection.close()
            self._workers.remove(worker)
            self._most = max(1, self._most - 1)
            self._killed[task.identity] += 1
            if self._killed[task.identity] < _TRIES:
                return False
            tqdm.write(f"{task.label}: left for later: its process was killed, twice")
        return True


def work(connection: Connection, device: str) -> None:
    """What a process does: train what it is sent, and say how it went.

    Args:
        device: as UNFREEZE_DEVICE names it.
    """
    pool.begin()
    tqdm.set_lock(threading.RLock())  # its own, for processes, would be left behind here
    os.environ["UNFREEZE_DEVICE"] = device
    from unfreeze.ahead import training  # here, so that importing this module imports no torch

    while True:
        task, said = connection.recv(), io.StringIO()
        try:
            with redirect_stdout(said), redirect_stderr(io.StringIO()):
                training.train(task.recipe, task.seed, task.label)
            if not task.recipe.tested:
                said = _in_short(task, said)
        except UserError as error:
            said.write(f"{task.label}: left for later: {error}\n")
        except Exception as error:  # whatever it is, the stage that needs the replicate meets it
            first = (str(error).splitlines() or [""])[0]
            said.write(f"{task.label}: left for later: {type(error).__name__}: {first}\n")
        gc.collect()
        connection.send(said.getvalue().strip() or f"{task.label}: done")


def _in_short(task: Task, said: io.StringIO) -> io.StringIO:
    """Of a trial, of which there are many, the line that says how it went."""
    lines = [line for line in said.getvalue().splitlines() if "prefix cache" not in line]
    return io.StringIO(f"{(lines or [f'{task.label}: diverged'])[-1]}\n")
