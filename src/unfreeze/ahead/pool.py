"""Replicates trained by several processes of this machine, each of which stays for the next one.

The processes are forked by a server of Python's own that has imported torch and done nothing else:
one import serves them all, and no lock or GPU of this process is copied.
"""

import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from tqdm import tqdm

from unfreeze import pool, supervision
from unfreeze.ahead import attempt
from unfreeze.ahead.attempt import Outcome
from unfreeze.ahead.engine import TRIES, Again, Done, Event, Failed, Started, choose
from unfreeze.ahead.slots import Slots
from unfreeze.ahead.task import Task

_IMPORTED_ONCE = ["unfreeze.ahead.preloaded"]
_SOURCE = Path(__file__).resolve().parents[2]


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    slot: int
    task: Task | None = None


class Pool:
    """The processes, an `Engine`.

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

    def run(self, tasks: Sequence[Task]) -> Iterator[Event]:
        waiting = sorted(tasks, key=lambda task: -task.operations)
        try:
            while waiting or self._busy():
                while waiting and (task := self._next(waiting)):
                    waiting.remove(task)
                    self._start(task)
                    yield Started(task)
                for worker in self._ended():
                    event = self._took(worker)
                    if isinstance(event, Again):
                        waiting.insert(0, event.task)
                    yield event
                yield None
        finally:
            for worker in self._workers:
                worker.process.kill()
            for worker in self._workers:
                worker.process.join()

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.task]

    def _next(self, waiting: Sequence[Task]) -> Task | None:
        """What starts now; None: nothing yet."""
        running = [worker.task for worker in self._busy()]
        task = choose(waiting, running, self._kept)
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
        """Those that have trained their replicate, or are no more; none after a second."""
        ready = wait([worker.connection for worker in self._busy()], timeout=1)
        return [worker for worker in self._busy() if worker.connection in ready]

    def _took(self, worker: _Worker) -> Event:
        """Take what a worker says; or that it was killed, and another is to try. Perhaps memory ran
        out, so from then on one fewer works."""
        task, worker.task = worker.task, None
        try:
            outcome: Outcome = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join()
            worker.connection.close()
            self._workers.remove(worker)
            self._most = max(1, self._most - 1)
            self._killed[task.identity] += 1
            how = supervision.how(worker.process.exitcode or 0)
            if self._killed[task.identity] < TRIES:
                return Again(task, f"its process {how}; it is trained again")
            return Failed(task, f"its process {how}, {TRIES} times")
        if outcome.memory_full and self._busy():
            self._most = max(1, len(self._busy()))
            return Again(task, f"{outcome.fault}; it is trained again, with fewer at the same time")
        if outcome.fault:
            return Failed(task, outcome.fault)
        self._kept.add(task.prefix)
        return Done(task, outcome.said)


def work(connection: Connection, device: str) -> None:
    """What a process does: train what it is sent, and say how it went.

    Args:
        device: as UNFREEZE_DEVICE names it.
    """
    pool.begin()
    tqdm.set_lock(threading.RLock())  # its own, for processes, would be left behind here
    os.environ["UNFREEZE_DEVICE"] = device
    while True:
        task: Task = connection.recv()
        connection.send(attempt.train(task, task.log))
