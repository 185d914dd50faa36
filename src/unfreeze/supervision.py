"""Two processes for a stage or a command: one does the work, and one waits for it, to say in a line
how it ended where it could not say so itself.

Where memory is full, libraries within torch abort the process, and the system kills it: Python has
no say in either.
"""

import atexit
import ctypes
import errno
import os
import resource
import signal
import sys
from types import TracebackType

_PR_SET_PDEATHSIG = 1  # of prctl.h
# What Python, NumPy and torch are known to say where they get no memory.
_NO_MEMORY = ("allocate memory", "failed to map segment", "can't start new thread", "out of memory",
              "bad_alloc", "could not execute a primitive")
_OF_A_TERMINAL = (signal.SIGINT, signal.SIGQUIT)  # which tells both processes
_FOR_ONE = (signal.SIGTERM, signal.SIGHUP)
_WAIT = {*_OF_A_TERMINAL, *_FOR_ONE}
# What ends a process for want of memory: the system kills it, or a library gives up.
_OF_MEMORY = (signal.SIGKILL, signal.SIGABRT, signal.SIGBUS, signal.SIGSEGV)

_is_waited_for = False  # whether this process is the one of the two that does the work


def begin(name: str) -> None:
    """Go on in a child of this process, which waits for it and has its exit status; 1 and a line
    where it was stopped. From now on errors for want of memory are one line.

    Args:
        name: of what runs, for these lines.
    """
    sys.excepthook = lambda *error: _say(name, *error)
    if sys.platform != "linux":
        return
    libc, here = ctypes.CDLL(None), os.getpid()
    ended, by_itself = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAIT)  # until it is settled who hears them
    try:
        child = os.fork()
    except OSError:  # there is no room for one more: then it works alone
        child = None
    if not child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAIT)
    if child is None:
        return
    if child == 0:
        global _is_waited_for
        _is_waited_for = True
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # who kills one means both
        if os.getppid() != here:
            os._exit(1)
        atexit.register(os.write, by_itself, b".")
        return
    os.close(by_itself)
    for number in _OF_A_TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    for number in _FOR_ONE:
        signal.signal(number, lambda number, _: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAIT)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        print(how_it_ended(name, status), file=sys.stderr, flush=True)
    elif status and _limit() and not _wrote(ended):  # so OpenBLAS ends a process
        print(f"error: {name} was ended by a library that it uses{_remedy()}", file=sys.stderr,
              flush=True)
    os._exit(max(status, 0) or int(status < 0))


def starter() -> int:
    """The process that started this stage or command; another one once it is no more. A shell that
    was only asked to run it is passed over, since some stay, as Debian's, and outlive a DVC that is
    killed."""
    process = os.getppid()
    if _is_waited_for:
        process = _parent(process)
    while process and _is_shell_of_a_command(process):
        process = _parent(process)
    return process


def _parent(process: int) -> int:
    """0: it has none, or is no more."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[1])  # proc_pid_stat(5): ppid
    except OSError:
        return 0


def _is_shell_of_a_command(process: int) -> bool:
    """As of `sh -c COMMAND`, by which DVC starts a stage."""
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:
            words = file.read().split(b"\0")[:-1]
    except OSError:
        return False
    return len(words) > 2 and words[0].endswith(b"sh") and words[-2] == b"-c"


def _wrote(pipe: int) -> bool:
    """Whether Python came to its end in the other process: then it said itself what was wrong."""
    os.set_blocking(pipe, False)
    try:
        return bool(os.read(pipe, 1))
    except BlockingIOError:
        return False


def how_it_ended(name: str, status: int) -> str:
    """The line about a process that did not end by itself.

    Args:
        status: its exit status, less than 0.
    """
    return f"error: {name} {how(status)}" + (
        f", for want of memory most likely{_remedy()}" if -status in _OF_MEMORY else
        "; run the same command again: nothing finished is lost")


def how(status: int) -> str:
    """How such a process ended, in words: "was killed"."""
    if status in (0, -signal.SIGKILL):
        return "was killed"
    name = signal.Signals(-status).name if -status in {*signal.Signals} else f"exit status {status}"
    return f"was stopped ({name})"


def _say(name: str, kind: type[BaseException], error: BaseException,
         trace: TracebackType | None) -> None:
    """In the place of a traceback where memory is why, or an interruption."""
    if kind is KeyboardInterrupt:
        return  # with which Python ends by that signal: the other process tells it
    if is_for_want_of_memory(error):
        said = (str(error).strip().splitlines() or [kind.__name__])[0][:200]
        print(f"error: {name} got no more memory ({said}){_remedy()}", file=sys.stderr, flush=True)
    else:
        sys.__excepthook__(kind, error, trace)


def is_for_want_of_memory(error: BaseException | None) -> bool:
    """Whether that is why an error, or one that led to it, was raised."""
    while error is not None:
        if isinstance(error, MemoryError) or (
                isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        if isinstance(error, ImportError | RuntimeError | OSError | SystemError) and any(
                words in str(error).lower() for words in _NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def _limit() -> int | None:
    """Bytes of addresses that this process may have; None: as many as there are."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


def _remedy() -> str:
    limit = _limit()
    return (f"; this shell allows it {limit / 1e6:,.0f} MB of addresses, and torch takes more: "
            "`ulimit -v unlimited`" if limit else
            "; close what else needs memory, or choose a smaller batch_size or image_size") + (
            ", and run the same command again: nothing finished is lost")
