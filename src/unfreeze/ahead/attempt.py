"""A replicate trained for another process, with a log of its own."""

import gc
import io
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from unfreeze.ahead.task import Task
from unfreeze.errors import NO_ROOM, UserError


@dataclass(frozen=True)
class Outcome:
    """How it went.

    Attributes:
        said: in a line or more.
        fault: why the replicate is not there, in a line; "": it is.
        memory_full, no_room: whether that is the memory of its device, or the disk, which others
            use too.
    """

    said: str
    fault: str = ""
    memory_full: bool = False
    no_room: bool = False


class _Both(io.TextIOBase):
    """Text for a log, which is also kept."""

    def __init__(self, log: io.TextIOBase) -> None:
        self._log, self.kept = log, io.StringIO()

    def write(self, text: str) -> int:
        self._log.write(text)
        return self.kept.write(text)

    def flush(self) -> None:
        self._log.flush()


def train(task: Task, log: Path) -> Outcome:
    """Train a replicate into the scratch folder, or find it there, whatever happens.

    Args:
        log: a file for all that is printed meanwhile, line by line.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8", buffering=1) as file:
        said = _Both(file)
        try:
            with redirect_stdout(said), redirect_stderr(file):
                _train(task)
        except UserError as error:
            return _failed(file, str(error))
        except Exception as error:  # whatever it is, the stage that needs the replicate meets it
            traceback.print_exc(file=file)
            return _failed(file, *_fault(error))
        finally:
            gc.collect()
    return Outcome(_in_short(task, said.kept.getvalue()))


def _train(task: Task) -> None:
    from unfreeze.ahead import training  # here, so that importing this module imports no torch

    training.train(task.recipe, task.seed, task.label)


def _fault(error: Exception) -> tuple[str, bool, bool]:
    """Of an `Outcome`, in its order."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return "no room left on the disk", False, True
    if isinstance(error, RuntimeError):
        from unfreeze.training import devices

        if devices.memory_is_full(error):
            return "the memory of its device is full", True, False
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}", False, False


def _failed(log: io.TextIOBase, fault: str, *full: bool) -> Outcome:
    print(f"error: {fault}", file=log)
    return Outcome("", fault, *full)


def _in_short(task: Task, said: str) -> str:
    """What was printed but for what only the log has; of a trial, of which there are many, the line
    that says how it went."""
    lines = [line for line in said.splitlines() if "prefix cache" not in line]
    if task.recipe.tested:
        return "\n".join(lines) or f"{task.label}: done"
    return (lines or [f"{task.label}: diverged"])[-1]
