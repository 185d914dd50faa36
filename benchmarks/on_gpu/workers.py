"""Processes of side.py, and how to ask them."""

import json
import select
import subprocess
from contextlib import contextmanager
from pathlib import Path

from on_gpu.setting import Setting, python

_PATIENCE = 20  # seconds that a side may go on after the end of a step's time


class Worker:
    """A side in a process of its own.

    Args:
        log: where it writes its warnings and errors.
    """

    def __init__(self, setting: Setting, side: str, log: Path) -> None:
        self._log, self._setting = log, setting
        with open(log, "ab") as file:
            self._process = subprocess.Popen(
                python(Path(__file__).with_name("side.py"), side), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=file, text=True, env=setting.environment())

    def tell(self, do: str, **order: object) -> None:
        """Without waiting for the answer."""
        try:
            self._process.stdin.write(json.dumps({"do": do} | order) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def answer(self) -> dict:
        """To what it was told first of all that it has not answered.

        Raises:
            RuntimeError: as of `ask`.
        """
        patience = max(1, self._setting.left() + _PATIENCE)
        # Nothing is buffered: it says a line only where it was told something.
        readable, *_ = select.select([self._process.stdout], [], [],
                                     None if patience == float("inf") else patience)
        if not readable:
            self._process.kill()
        line = self._process.stdout.readline()
        if not line:
            raise self._died()
        return json.loads(line)

    def ask(self, do: str, **order: object) -> dict:
        """Its answer.

        Raises:
            RuntimeError: it died of it, with its last words; or it was killed, long after the end
                of the step's time.
        """
        self.tell(do, **order)
        return self.answer()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _died(self) -> RuntimeError:
        self._process.wait()
        return RuntimeError(self._log.read_text(errors="replace")[-3000:])


@contextmanager
def workers(setting: Setting, sides: list[str], log: Path):
    """Some of them, which end with the block."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    started = [Worker(setting, side, log) for side in sides]
    try:
        yield started
    finally:
        for worker in started:
            worker.stop()
