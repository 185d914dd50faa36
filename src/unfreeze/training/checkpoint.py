"""The scratch folder: the last epoch of unfinished replicates, and finished ones whole.

A replicate's files are named by its digest and by the kind of arithmetic that made them. The
folder may be deleted at any time; it is bounded, oldest out first.
"""

import hashlib
import io
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from unfreeze import environment, files

_DIGEST = 32  # bytes at the end of a file: the SHA-256 of all before; torch.load
# does not mind what comes after a file of its own
_CHUNK = 1 << 22  # bytes read at once
_WRITING = 600  # seconds within which a file that is being written changes


class Scratch:
    """The two files of one replicate: `*.epoch.pt` while it trains, `*.done` when finished.

    Args:
        digest: of the replicate.
        arithmetic: in which it is trained, as of `Device.arithmetic`.
        writes: whether anything is saved: of several processes the first writes, and all read.

    Attributes:
        done: the second of them.
    """

    def __init__(self, digest: str, arithmetic: str, writes: bool = True) -> None:
        folder = environment.scratch() / "replicates"
        self._epoch = folder / f"{digest}-{arithmetic}.epoch.pt"
        self.done = folder / f"{digest}-{arithmetic}.done"
        self._writes = writes

    def load_epoch(self) -> dict | None:
        """What was saved, on the CPU; None: nothing, or nothing that is whole."""
        import torch  # here, since what is finished is read without

        return _load(self._epoch,
                     lambda path: torch.load(path, map_location="cpu", weights_only=True))

    def load_done(self) -> bytes | None:
        """What was saved; None: nothing, or nothing that is whole."""
        return _load(self.done, lambda path: path.read_bytes()[:-_DIGEST])

    def save_epoch(self, content: dict) -> None:
        if self._writes:
            import torch

            buffer = io.BytesIO()
            torch.save(content, buffer)
            _save(self._epoch, buffer)

    def save_done(self, content: bytes) -> None:
        if self._writes:
            _save(self.done, io.BytesIO(content))
            self._epoch.unlink(missing_ok=True)


def put_done(name: str, content: bytes) -> None:
    """Keep what another machine has trained.

    Args:
        name: of its file there. content: of it.

    Raises:
        ValueError: it is not as it was written there.
    """
    if hashlib.sha256(content[:-_DIGEST]).digest() != content[-_DIGEST:]:
        raise ValueError(f"{name}: damaged")
    folder = environment.scratch() / "replicates"
    make_room(folder, environment.scratch_limit() - len(content))
    files.write_bytes(folder / name, content)


def is_finished(digest: str) -> bool:
    """Whether a replicate has been trained to its end here, in one arithmetic or another."""
    return bool(arithmetics(digest))


def arithmetics(digest: str) -> list[str]:
    """Those in which a replicate has been trained to its end."""
    files = (environment.scratch() / "replicates").glob(f"{digest}-*.done")
    return sorted(file.stem.removeprefix(f"{digest}-") for file in files)


def _load(path: Path, read: Callable[[Path], Any]) -> Any:
    """What is read of a file; None when there is no such file, or it is not as it was written, and
    then goes."""
    try:
        _check(path)
        return read(path)
    except FileNotFoundError:
        return None
    except files.UNREADABLE:
        path.unlink(missing_ok=True)
        return None


def _check(path: Path) -> None:
    """Raise ValueError where a file is not the bytes that were written."""
    digest, left = hashlib.sha256(), path.stat().st_size - _DIGEST
    with open(path, "rb") as file:
        while part := file.read(min(max(left, 0), _CHUNK)):
            digest.update(part)
            left -= len(part)
        if file.read() != digest.digest():
            raise ValueError(f"{path}: damaged")


def _save(path: Path, buffer: io.BytesIO) -> None:
    digest = hashlib.sha256(buffer.getbuffer()).digest()
    buffer.seek(0, io.SEEK_END)
    buffer.write(digest)
    make_room(path.parent, environment.scratch_limit() - buffer.getbuffer().nbytes)
    files.write_bytes(path, buffer.getbuffer())


def make_room(folder: Path, limit: int) -> None:
    """Delete the oldest files until the rest is at most `limit` bytes; what a killed process left
    half written counts too, and what a living one is writing stays. Another process may do the
    same at the same time."""
    written = []
    for file in folder.glob("*"):
        with suppress(FileNotFoundError):
            status = file.stat()
            written.append((status.st_mtime, status.st_size, file))
    total, now = 0, time.time()
    for when, size, file in sorted(written, reverse=True):
        total += size
        if total > limit and not (file.suffix == ".part" and now - when < _WRITING):
            file.unlink(missing_ok=True)
