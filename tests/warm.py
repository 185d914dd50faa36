"""Starts of `dvc` and of stages that need no second for their imports: for projects of tests, which
start them hundreds of times.

A server has imported what they import from elsewhere, and nothing of this project. `python` and
`dvc` on the path of a test's project hand their arguments, environment, folder and open files to
it; it forks, and the child goes on as the script or command would have. All else is as ever: DVC
runs a shell, the shell runs `python stages/NAME.py`, and that imports the project's own code.

Not for what is about signals, since the children are not in the process group of who started them;
they end with whoever waits for them, though.
"""

import atexit
import gc
import importlib
import marshal
import multiprocessing.process
import os
import random
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from functools import cache
from pathlib import Path

IMPORTED = (
    "dvc.cli.parser", "dvc.repo.reproduce", "dvc.repo.experiments.run", "dvc.repo.experiments.show",
    "dvc.repo.experiments.queue.tempdir", "dvc.repo.gc", "dvc.repo.pull", "dvc.repo.push",
    "dvc.analytics", "dvc.dvcfile", "dvc.rwlock", "dvc.render.convert", "dvc.render.match",
    "dvc.ui.table", "dvc.utils.strictyaml", "dvc_data.index", "celery", "networkx", "pygit2",
    "requests", "rich.text", "dulwich.porcelain",
    "numpy", "scipy.stats", "PIL.Image", "yaml", "tqdm", "safetensors.numpy",
    "torch", "torchvision", "torch._dynamo", "torch.utils.flop_counter",
    "matplotlib.pyplot", "pandas", "vl_convert",
)

# What is called `python` and `dvc`. Whatever is no script is none of the server's business.
CLIENT = """#!{python} -IS
import marshal, os, sys
from _socket import AF_UNIX, SOCK_STREAM, SOL_SOCKET, socket
name, *arguments = os.path.basename(sys.argv[0]), *sys.argv[1:]
if name == "python" and not (arguments and arguments[0].endswith(".py")):
    os.execv({python!r}, [{python!r}, *arguments])
server = socket(AF_UNIX, SOCK_STREAM)
server.connect({address!r})
request = marshal.dumps((name, arguments, os.getcwd(), dict(os.environ)))
server.sendmsg([len(request).to_bytes(8, "little")],
               [(SOL_SOCKET, 1, b"".join(n.to_bytes(4, sys.byteorder) for n in (0, 1, 2)))])
server.sendall(request)
answer = server.recv(4)
code = int.from_bytes(answer, "little", signed=True) if answer else 1
os._exit(code) if code >= 0 else os.kill(os.getpid(), -code)
"""


@cache
def path() -> str:
    """A folder for the front of PATH. The server that it leads to ends with this process."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    address = str(folder / "server")
    for name in ("python", "dvc"):
        (folder / name).write_text(CLIENT.format(python=sys.executable, address=address))
        (folder / name).chmod(0o755)
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("PYTHON")}
    server = subprocess.Popen(
        [sys.executable, __file__, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=environment | {"OMP_NUM_THREADS": "1"}, start_new_session=True)
    atexit.register(_end, server, folder)
    assert server.stdout.read(5) == b"ready", "the server of tests/warm.py does not start"
    server.stdout.close()
    return str(folder)


def _end(server: subprocess.Popen, folder: Path) -> None:
    server.stdin.close()
    server.wait()
    shutil.rmtree(folder)


def serve(address: str) -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(16)
    os.write(1, b"ready")
    os.close(1)
    os.open(os.devnull, os.O_WRONLY)
    running: dict[socket.socket, tuple[int, int]] = {}  # {who waits: (the process, its descriptor)}
    while True:
        ended = {descriptor: connection for connection, (_, descriptor) in running.items()}
        ready, *_ = select.select([0, listening, *running, *ended], [], [])
        if 0 in ready:  # at its end: so is who started this
            os._exit(0)
        if listening in ready:
            connection, _ = listening.accept()
            child = start(connection, [listening, *running])
            running[connection] = child, os.pidfd_open(child)
        for one in ready:
            if one in running:  # at its end: so is who waits
                os.kill(running[one][0], signal.SIGKILL)
            elif one in ended:
                finish(ended[one], *running.pop(ended[one]))


def start(connection: socket.socket, others: list[socket.socket]) -> int:
    """What is asked for, in a process; its number."""
    size, descriptors, *_ = socket.recv_fds(connection, 8, 3)
    request = b""
    while len(request) < int.from_bytes(size, "little"):
        request += connection.recv(2**20)
    child = os.fork()
    if child == 0:
        for one in (connection, *others):
            one.close()
        run(*marshal.loads(request), descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    return child


def finish(connection: socket.socket, child: int, descriptor: int) -> None:
    """Say how it ended, to who waits."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(descriptor)
    try:
        connection.sendall(code.to_bytes(4, "little", signed=True))
    except BrokenPipeError:
        pass
    connection.close()


def run(name: str, arguments: list[str], folder: str, environment: dict[str, str],
        descriptors: list[int]) -> None:
    """As the script or the command itself would. Does not return."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    multiprocessing.process.ORIGINAL_DIR = folder
    random.seed()
    sys.modules["numpy"].random.seed()
    sys.modules["torch"].seed()
    code = 0
    try:
        if name == "dvc":
            from dvc.cli import main

            sys.argv = ["dvc", *arguments]
            code = main()
        else:
            sys.argv = arguments
            sys.path[0] = str(Path(arguments[0]).resolve().parent)
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    atexit._run_exitfuncs()
    os._exit(code or 0)


if __name__ == "__main__":
    serve(sys.argv[1])
