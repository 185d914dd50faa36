"""Processes of side.py, and how to ask them."""

import json
import subprocess
from contextlib import contextmanager
from pathlib import Path

from on_gpu.setting import Setting, python


class Worker:
    """A side in a process of its own.

    Args:
        log: where it writes its warnings and errors.
    """

    def __init__(self, setting: Setting, side: str, log: Path) -> None:
        self._log = log
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
        line = self._process.stdout.readline()
        if not line:
            raise self._died()
        return json.loads(line)

    def ask(self, do: str, **order: object) -> dict:
        """Its answer.

        Raises:
            RuntimeError: it died of it, with its last words.
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
