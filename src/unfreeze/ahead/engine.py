"""What trains replicates ahead: processes of this machine (pool.py), or Ray (on_ray.py).

An engine is given tasks and tells, one by one, what becomes of them.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from unfreeze import environment
from unfreeze.ahead.slots import available
from unfreeze.ahead.task import Task

TRIES = 3  # of a replicate whose process is killed


@dataclass(frozen=True)
class Started:
    """A replicate is being trained."""

    task: Task


@dataclass(frozen=True)
class Again:
    """A replicate that was being trained waits once more.

    Attributes:
        why: in a line; "": that is nobody's concern.
    """

    task: Task
    why: str


@dataclass(frozen=True)
class Done:
    """A replicate is in the scratch folder.

    Attributes:
        said: how it went, perhaps in several lines.
    """

    task: Task
    said: str


@dataclass(frozen=True)
class Failed:
    """A replicate is left to who needs it.

    Attributes:
        why: in a line.
    """

    task: Task
    why: str


@dataclass(frozen=True)
class Told:
    """Something about no one replicate, in a line."""

    line: str


# None: nothing has happened for about a second.
Event = Started | Again | Done | Failed | Told | None


class Engine(Protocol):
    """What trains replicates ahead."""

    def run(self, tasks: Sequence[Task]) -> Iterator[Event]:
        """Train tasks, the longest first; what is running ends when the iterator is closed. Of each
        task, the last that is told is `Done` or `Failed`.

        Raises:
            UserError: none can be trained.
        """
        ...


def would_train(count: int) -> bool:
    """Whether so many replicates would be trained ahead.

    Raises:
        UserError: the environment says what is not allowed.
    """
    together = environment.processes() > 1 or os.environ.get("WORLD_SIZE", "1") != "1"
    if together or environment.slots() == 1:
        return False
    if environment.cluster():
        return count > 0
    return count > 1 and len(available().devices) > 1


def choose(waiting: Sequence[Task], running: Collection[Task], kept: Collection[str]) -> Task:
    """Which of some tasks, the longest first, is to start on a machine. While one computes what its
    frozen layers put out, others that could take it from there let the rest go before.

    Args:
        running: on that machine. kept: the prefixes that are in its scratch folder.
    """
    computing = {task.prefix for task in running} - {*kept, ""}
    return next((each for each in waiting if each.prefix not in computing), waiting[0])
