"""What warm.py starts ends as what Python starts, prints the same and sees the same."""

import os
import signal
import subprocess
import sys
import time

import pytest

import warm

SCRIPT = """
import os, resource, sys
sys.stdout.write(repr((
    sys.argv, os.getcwd(), os.environ.get("SAID"), __name__, sys.path[0], sys.stdin.read(),
    resource.getrlimit(resource.RLIMIT_FSIZE), "unfreeze" in sys.modules)))
{}
"""


def run(python: str, folder, unbuffered: str, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(["bash", "-c", 'ulimit -f 12; exec "$@"', "-", python, *arguments],
                          cwd=folder, input="given", text=True, capture_output=True,
                          env=os.environ | {"SAID": "a ä", "PYTHONUNBUFFERED": unbuffered})
    return done.returncode, done.stdout, done.stderr.splitlines()[-1:]


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("end", [
    "", "sys.exit(3)", "sys.exit('error: why')", "1 / 0", "os.kill(os.getpid(), 15)", "sys.exit()",
    "print('more', file=sys.stderr); os._exit(7)"])
def test_a_script_and_its_end_are_those_of_python(tmp_path, end, unbuffered):
    (tmp_path / "script.py").write_text(SCRIPT.format(end))
    for arguments in (["script.py", "a", "-b"], ["-c", SCRIPT.format(end), "a"]):
        one, other = (run(python, tmp_path, unbuffered, *arguments)
                      for python in (sys.executable, warm.python()))
        assert one == other


def test_it_ends_with_who_waits(tmp_path):
    code = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    waiting = subprocess.Popen([warm.python(), "-c", code], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    waiting.send_signal(signal.SIGKILL)
    waiting.wait()
    process = int((tmp_path / "pid").read_text())
    while os.path.exists(f"/proc/{process}"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
