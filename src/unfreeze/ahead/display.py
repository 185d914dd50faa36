"""What one sees while replicates are trained: a line for each that ends, and one bar for all."""

import sys
from collections.abc import Sequence

from tqdm import tqdm

from unfreeze.ahead.engine import Again, Done, Event, Failed, Started, Told
from unfreeze.ahead.task import Task

_BAR = "{desc}: {percentage:3.0f}% |{bar}| {postfix} [{elapsed} gone, {remaining} left]"


class Display:
    """The bar, which goes by the work that is counted of each replicate, so that the time that is
    left is known as well as it can be. Where nobody watches there are the lines alone.

    Args:
        tasks: to be trained. what: they are.
    """

    def __init__(self, tasks: Sequence[Task], what: str) -> None:
        self._running: set[str] = set()
        self._waiting, self._done, self._failed = len(tasks), 0, 0
        self._bar = tqdm(desc=what, total=sum(task.operations for task in tasks), disable=None,
                         bar_format=_BAR, smoothing=0, postfix=self.counts())

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, event: Event) -> None:
        """What an engine tells."""
        match event:
            case Started(task):
                self._running.add(task.identity)
                self._waiting -= 1
            case Again(task, why):
                self._running.discard(task.identity)
                self._waiting += 1
                if why:
                    _say(f"{task.label}: {why}")
            case Done(task, said):
                self._end(task)
                self._done += 1
                _say(said)
            case Failed(task, why):
                self._end(task)
                self._failed += 1
                _say(f"{task.label}: left for later: {why}")
            case Told(line):
                _say(line)
        self._bar.set_postfix_str(self.counts(), refresh=False)
        self._bar.refresh()

    def _end(self, task: Task) -> None:
        if task.identity in self._running:
            self._running.remove(task.identity)
        else:
            self._waiting -= 1
        self._bar.update(task.operations)

    def counts(self) -> str:
        """How many are where."""
        return (f"{self._done} done, {len(self._running)} running, {self._waiting} waiting, "
                f"{self._failed} failed")


def _say(text: str) -> None:
    tqdm.write(text)
    sys.stdout.flush()  # now, in a file too
