"""The scratch folder: the last epoch of unfinished replicates, and finished ones whole.

A replicate's files are named by its digest and by the kind of arithmetic that made them. The
folder may be deleted at any time; it is bounded, oldest out first.
"""

import hashlib
import io
import time
from contextlib import suppress
from pathlib import Path

import torch

from unfreeze import environment, files
from unfreeze.training.devices import Device
from unfreeze.training.together import reduce

_DIGEST = 32  # bytes at the end of a file: the SHA-256 of all before; torch.load
# does not mind what comes after a file of its own
_CHUNK = 1 << 22  # bytes read at once
_WRITING = 600  # seconds within which a file that is being written changes


class Scratch:
    """The two files of one replicate: `*.epoch.pt` while it trains, `*.done.pt` when finished. Of
    several processes all read them, and the first writes."""

    def __init__(self, digest: str, device: Device) -> None:
        folder = environment.scratch() / "replicates"
        kind = f"{device.torch.type}-{device.precision}"
        if reduce.count() > 1:
            kind += f"-{reduce.count()}"
        if environment.compiled() != "off":
            kind += f"-compiled-{environment.compiled()}"
        self._epoch = folder / f"{digest}-{kind}.epoch.pt"
        self._done = folder / f"{digest}-{kind}.done.pt"

    def load_epoch(self) -> dict | None:
        return _load(self._epoch)

    def load_done(self) -> dict | None:
        return _load(self._done)

    def save_epoch(self, content: dict) -> None:
        if reduce.rank() == 0:
            _save(self._epoch, content)

    def save_done(self, content: dict) -> None:
        if reduce.rank() == 0:
            _save(self._done, content)
            self._epoch.unlink(missing_ok=True)


def _load(path: Path) -> dict | None:
    """The content, on the CPU; None when there is no such file, or it is not as it was written,
    and then goes."""
    try:
        _check(path)
        return torch.load(path, map_location="cpu", weights_only=True)
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


def _save(path: Path, content: dict) -> None:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    buffer.write(hashlib.sha256(buffer.getbuffer()).digest())
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
