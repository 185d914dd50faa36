"""Starts of Python and DVC that need no seconds for their imports: for projects of tests, which
start stages hundreds of times.

A server has imported what they import from elsewhere, and nothing of this project. Whatever is
called `python` and `dvc` in the folder that `path` names hands its arguments, environment, folder
and open files to it; it forks, and the child goes on as the script or command would have. All else
is as ever: DVC starts a shell, the shell `python stages/NAME.py`, and that imports its own code.

Not for what is about signals, parents, threads, instructions or imports. A child is the server's,
in a session of its own; where the one that asked for it is killed, it is too.
"""

import atexit
import gc
import hashlib
import importlib
import io
import marshal
import multiprocessing.process
import os
import random
import resource
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
import types
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

IMPORTED = (
    "dvc.cli.parser", "dvc.repo.reproduce", "dvc.repo.experiments.run", "dvc.repo.experiments.show",
    "dvc.repo.experiments.queue.tempdir", "dvc.repo.gc", "dvc.repo.pull", "dvc.repo.push",
    "dvc.analytics", "dvc.dvcfile", "dvc.rwlock", "dvc.render.convert", "dvc.render.match",
    "dvc.ui.table", "dvc.utils.strictyaml", "dvc_data.index", "celery", "networkx", "pygit2",
    "requests", "rich.text", "dulwich.porcelain",
    "numpy", "scipy.stats", "PIL.Image", "yaml", "tqdm", "safetensors.numpy",
    "torch", "torchvision", "torch._dynamo", "torch.utils.flop_counter", "accelerate",
    "matplotlib.pyplot", "pandas", "vl_convert",
)
VARIABLE = "TESTS_WARM"  # the folder, for the processes among which pytest-xdist divides the tests

# What is called `python` and `dvc`: Python without its site-packages, which starts at once.
CLIENT = """#!{python} -IS
import marshal, os, resource, sys
from _socket import AF_UNIX, SOCK_STREAM, SOL_SOCKET, socket
name, *arguments = os.path.basename(sys.argv[0]), *sys.argv[1:]
if name == "python" and (not arguments or arguments[0][0] == "-" and arguments[0] != "-c"):
    os.execv({python!r}, [{python!r}, *arguments])
server = socket(AF_UNIX, SOCK_STREAM)
server.connect({address!r})
limits = [resource.getrlimit(number) for number in range(resource.RLIMIT_AS + 1)]
request = marshal.dumps((sys.argv[0], arguments, os.getcwd(), dict(os.environ), limits))
server.sendmsg([len(request).to_bytes(8, "little")],
               [(SOL_SOCKET, 1, b"".join(n.to_bytes(4, sys.byteorder) for n in (0, 1, 2)))])
server.sendall(request)
answer = server.recv(4)
code = int.from_bytes(answer, "little", signed=True) if answer else 1
os._exit(code) if code >= 0 else os.kill(os.getpid(), -code)
"""


def path() -> str:
    """The folder, for the front of PATH. Its server is started where there is none yet, and ends
    with the process that has started it. Not on Linux, it is that of Python itself."""
    if not hasattr(os, "pidfd_open"):
        return str(Path(sys.executable).parent)
    if VARIABLE not in os.environ:
        folder = Path(tempfile.mkdtemp(prefix="warm-"))
        address = str(folder / "server")
        for name in ("python", "dvc"):
            (folder / name).write_text(CLIENT.format(python=sys.executable, address=address))
            (folder / name).chmod(0o755)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(address)
            listening.listen(64)  # who asks before all is imported waits
            server = subprocess.Popen(
                [sys.executable, __file__, str(listening.fileno())], stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL, pass_fds=[listening.fileno()], start_new_session=True,
                env={name: value for name, value in os.environ.items()
                     if not name.startswith("PYTHON")} | {"OMP_NUM_THREADS": "1"})
        atexit.register(_end, server, folder)
        os.environ[VARIABLE] = str(folder)
    return os.environ[VARIABLE]


def python() -> str:
    """In the place of sys.executable."""
    return f"{path()}/python"


def _end(server: subprocess.Popen, folder: Path) -> None:
    server.stdin.close()
    server.wait()
    shutil.rmtree(folder)


def serve(listening: socket.socket) -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    remember_locks()
    remember_charts(Path(listening.getsockname()).parent)
    gc.freeze()
    running: dict[socket.socket, tuple[int, int]] = {}  # {who waits: (the process, its descriptor)}
    while True:
        ended = {descriptor: connection for connection, (_, descriptor) in running.items()}
        ready, *_ = select.select([0, listening, *running, *ended], [], [])
        if 0 in ready:  # at its end: so is who started this, and who waits
            for child, _ in running.values():
                with suppress(ProcessLookupError):
                    os.killpg(child, signal.SIGKILL)
            os._exit(0)
        if listening in ready:
            connection, _ = listening.accept()
            child = start(connection, [listening, *running])
            running[connection] = child, os.pidfd_open(child)
        for one in ready:
            if one in running:  # at its end: so is who waits
                with suppress(ProcessLookupError):  # at its very beginning, or at its end
                    os.killpg(running[one][0], signal.SIGKILL)
            elif one in ended:
                finish(ended[one], *running.pop(ended[one]))


def remember_locks() -> None:
    """DVC reads dvc.lock again before each stage's part is put into it, which takes longer than
    most stages of tests do: where it is what this process wrote last, it is known."""
    from dvc.utils.serialize import _yaml

    read, write, known = _yaml.parse_yaml_for_update, _yaml._dump, {}

    def parsed(text, path):
        return known.pop(text, None) or read(text, path)

    def dumped(data, stream):
        text = io.StringIO()
        write(data, text)
        known.clear()
        known[text.getvalue()] = data
        stream.write(text.getvalue())

    _yaml.parse_yaml_for_update, _yaml._dump = parsed, dumped


def remember_charts(folder: Path) -> None:
    """JavaScript starts for a second, to write the same script into each page of a report and to
    draw charts, most of which were drawn before: both are kept in the folder, by what is asked for.
    (Tests of charts and pages draw in their own process, where nothing is kept.)"""
    import vl_convert

    for name in ("javascript_bundle", "vegalite_to_svg"):
        setattr(vl_convert, name, _kept(getattr(vl_convert, name), folder / name))


def _kept(function: Callable[..., str], folder: Path) -> Callable[..., str]:
    folder.mkdir()

    def kept(*arguments: str) -> str:
        file = folder / hashlib.sha256(repr(arguments).encode()).hexdigest()
        if not file.exists():
            part = file.with_suffix(f".{os.getpid()}")
            part.write_text(function(*arguments), encoding="utf-8", newline="")
            os.replace(part, file)
        return file.read_bytes().decode()

    return kept


def start(connection: socket.socket, others: list[socket.socket]) -> int:
    """What is asked for, in a process; its number."""
    size, descriptors, *_ = socket.recv_fds(connection, 8, 3)
    request = b""
    while len(request) < int.from_bytes(size, "little"):
        request += connection.recv(2**20)
    child = os.fork()
    if child == 0:
        os.setsid()
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
    with suppress(BrokenPipeError):
        connection.sendall(code.to_bytes(4, "little", signed=True))
    connection.close()


def run(name: str, arguments: list[str], folder: str, environment: dict[str, str],
        limits: list[tuple[int, int]], descriptors: list[int]) -> None:
    """As the script or the command itself would. Does not return."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, limit in enumerate(limits):
        resource.setrlimit(number, limit)
    multiprocessing.process.ORIGINAL_DIR = folder
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # without what DVC's colorama has added
    if environment.get("PYTHONUNBUFFERED"):
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), sys.stdout.encoding, write_through=True)
    random.seed()
    sys.modules["numpy"].random.seed()
    sys.modules["torch"].seed()
    gc.enable()
    code: object = 0
    try:
        if name.endswith("dvc"):
            from dvc.cli import main

            sys.argv = [name, *arguments]
            code = main()
        else:
            run_python(name, arguments, environment.get("PYTHONPATH", ""))
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


def run_python(name: str, arguments: list[str], more: str) -> None:
    """`python SCRIPT ...` or `python -c CODE ...`, with more folders to import from."""
    sys.executable, sys.argv = name, arguments
    script = arguments[0]
    sys.path[:1] = [str(Path(script).resolve().parent) if script != "-c" else "",
                    *filter(None, more.split(os.pathsep))]
    if script == "-c":
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(arguments.pop(1), "<string>", "exec"), vars(main))
    else:
        runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
