"""Step 1: the tests marked cuda, their whole log kept. In a rehearsal on a CPU a few of them run
there, and those that need a GPU are skipped."""

import re
import subprocess
import time
from contextlib import suppress

from on_gpu.setting import ROOT, Setting, python

NAME = "tests"
_LARGEST = 12_000_000  # bytes of the log that is kept
_REHEARSED = ("last_only-cifar-resnet18 or rows_read_ahead or tf32 or two_gpus or "
              "on_a_gpu and last_only and resnet18")


def run(setting: Setting) -> None:
    log = setting.results / f"{NAME}.log"
    # Those files alone: others may import what is not installed there. test_cuda.py last: it ends
    # with what takes longest.
    files = [file.relative_to(ROOT) for file in
             sorted((ROOT / "tests").glob("test_*.py"), reverse=True)
             if "mark.cuda" in file.read_text()]
    command = python("-m", "pytest", "-m", "cuda", *files, "-o", "addopts=",
                     "-rfEs", "-p", "no:cacheprovider", "-p", "no:logging", "--durations=10", "-v",
                     *(["-k", _REHEARSED] if setting.rehearse else []))
    environment = setting.environment(
        UNFREEZE_SCRATCH=str(setting.work / "scratch-tests"),
        **({"UNFREEZE_REHEARSE": "1"} if setting.rehearse else {}))
    start, stopped = time.monotonic(), False
    with open(log, "wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file,
                                   stderr=subprocess.STDOUT)
        while process.poll() is None:
            if setting.left() <= 0:
                process.kill()
                process.wait()
                stopped = True
                break
            with suppress(subprocess.TimeoutExpired):
                process.wait(min(3, setting.left()))
            _write(setting, log.read_text(errors="replace"), start, True)
    text = log.read_text(errors="replace")
    if len(text) > _LARGEST:
        log.write_text(text[:_LARGEST // 2] + "\n...\n" + text[-_LARGEST // 2:])
    _write(setting, text, start, stopped)


def _write(setting: Setting, log: str, start: float, stopped: bool) -> None:
    setting.write(NAME, outcome(log) | {
        "stopped": stopped, "seconds": round(time.monotonic() - start, 1)})


def outcome(log: str) -> dict:
    """{"passed", "failed", "skipped": names of tests, "errors": modules that cannot be collected}
    of a log of pytest -v."""
    said = re.findall(r"^(tests/\S+?::.+?) (PASSED|FAILED|SKIPPED|ERROR)\b", log, re.MULTILINE)
    names = {word: [name.split("::", 1)[1] for name, each in said if each == word]
             for word in ("PASSED", "FAILED", "SKIPPED", "ERROR")}
    collected = re.findall(r"^ERROR (tests/\S+)(?: - .*)?$", log, re.MULTILINE)
    return {"passed": names["PASSED"], "failed": names["FAILED"], "skipped": names["SKIPPED"],
            "errors": sorted({*names["ERROR"], *collected})}
