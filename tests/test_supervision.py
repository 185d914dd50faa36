"""What stops a process from outside of Python, and a lack of memory, end in one line."""

import os
import resource
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from helpers import ROOT
from unfreeze import supervision


def heed_interruptions():
    """Where the tests run in the background of a shell, they are ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(body, folder, **keywords):
    script = folder / "work.py"
    script.write_text(f"import os, resource, signal, sys, time\nsys.path.insert(0, {str(ROOT)!r} + "
                      f"'/src')\nfrom unfreeze import supervision\n"
                      f"supervision.begin('work.py base')\n{body}\n")
    return subprocess.Popen([sys.executable, script], cwd=folder, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            **{"preexec_fn": heed_interruptions} | keywords)


def ended(body, folder):
    process = start(body, folder)
    said, errors = process.communicate(timeout=60)
    return process.returncode, said, errors


@pytest.mark.parametrize(("body", "status", "said", "errors"), [
    ("print('done')", 0, "done\n", ""),
    ("sys.exit('error: why')", 1, "", "error: why\n"),
    ("sys.exit(3)", 3, "", ""),
    ("print('said'); sys.stdout.flush(); os._exit(0)", 0, "said\n", "")])
def test_what_ends_by_itself_ends_so(tmp_path, body, status, said, errors):
    assert ended(body, tmp_path) == (status, said, errors)


@pytest.mark.parametrize(("number", "words"), [
    (signal.SIGKILL, "was killed, for want of memory most likely; close what else needs memory"),
    (signal.SIGABRT, "was stopped (SIGABRT), for want of memory most likely; close what else"),
    (signal.SIGTERM, "was stopped (SIGTERM); run the same command again"),
    (signal.SIGINT, "was stopped (SIGINT); run the same command again"),
    (signal.SIGRTMIN, "was stopped (")])
def test_what_is_stopped_is_told(tmp_path, number, words):
    status, _, errors = ended(f"os.kill(os.getpid(), {int(number)})", tmp_path)
    (line,) = errors.splitlines()
    assert status == 1 and line.startswith(f"error: work.py base {words}")


@pytest.mark.parametrize("raised", [
    "raise MemoryError", "raise RuntimeError('DefaultCPUAllocator: can\\'t allocate memory: you')",
    "raise ImportError('libtorch_cpu.so: failed to map segment from shared object')",
    "raise RuntimeError(\"can't start new thread\")", "raise OSError(12, 'no')",
    "try:\n    raise MemoryError\nexcept MemoryError as error:\n    raise ImportError('NumPy') "
    "from error",
    "resource.setrlimit(resource.RLIMIT_AS, (1 << 28, -1)); bytearray(1 << 29)"])
def test_a_lack_of_memory_is_one_line(tmp_path, raised):
    status, _, errors = ended(raised, tmp_path)
    (line,) = errors.splitlines()
    assert status == 1 and line.startswith("error: work.py base got no more memory (")
    assert ("allows it 268 MB of addresses" in line) == ("setrlimit" in raised)


def test_a_library_that_ends_the_process_is_told_where_memory_is_limited(tmp_path):
    """As OpenBLAS does: C's exit, of which Python knows nothing."""
    body = "import ctypes; ctypes.CDLL(None).exit(1)"
    assert ended(body, tmp_path) == (1, "", "")
    process = start(body, tmp_path, preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY)))
    _, errors = process.communicate(timeout=60)
    (line,) = errors.splitlines()
    assert line.startswith("error: work.py base was ended by a library that it uses; this shell")
    process = start("sys.exit('error: why')", tmp_path, preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY)))
    assert process.communicate(timeout=60)[1] == "error: why\n"


def test_other_errors_keep_their_traceback(tmp_path):
    status, _, errors = ended("raise ImportError('no module')", tmp_path)
    assert status == 1 and errors.startswith("Traceback") and "no module" in errors
    assert not supervision.is_for_want_of_memory(RuntimeError("shapes do not fit"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_who_ends_one_ends_both(tmp_path, number):
    process = start("print(os.getpid(), flush=True); time.sleep(60)", tmp_path)
    child = int(process.stdout.readline())
    process.send_signal(number)
    process.communicate(timeout=60)
    for _ in range(100):
        if not os.path.exists(f"/proc/{child}"):
            return
        time.sleep(0.1)
    raise AssertionError("the other goes on")


def test_an_interruption_is_heard_once(tmp_path):
    process = start("try:\n    print('ready', flush=True)\n    time.sleep(60)\n"
                    "except KeyboardInterrupt:\n    sys.exit('error: interrupted')", tmp_path,
                    start_new_session=True,
                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (1, "error: interrupted\n")


@pytest.mark.parametrize("stays", [True, False])
def test_who_started_it_is_known_behind_a_shell(tmp_path, stays):
    """As DVC starts a stage; `sh` of some systems stays between them, where bash gives place."""
    script = tmp_path / "work.py"
    script.write_text(
        f"import os, sys, time\nsys.path.insert(0, {str(ROOT / 'src')!r})\n"
        "from unfreeze import supervision\nsupervision.begin('work.py')\n"
        "started = supervision.starter()\nprint(started, flush=True)\n"
        "while supervision.starter() == started:\n    time.sleep(0.05)\n"
        "print('it has ended', flush=True)\n")
    command = f"{'exec ' * (not stays)}{sys.executable} {script}{'; exit $?' * stays}"
    first = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.run(['sh', '-c', {command!r}])"],
        text=True, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert int(first.stdout.readline()) == first.pid
        first.kill()
        first.wait()
        said, _, _ = select.select([first.stdout], [], [], 30)
        assert said and first.stdout.readline() == "it has ended\n"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGKILL)
