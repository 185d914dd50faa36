"""Where outputs of frozen layers are kept: in the scratch folder, shared by all runs with the same
leading layers and images, the oldest out first.

    prefixes/KEY.npy    (variants * N, bytes) uint8, a row for each image and variant; then the
                        seconds that making it took (float64), and the SHA-256 of all before it
"""

import contextlib
import hashlib
import io
import math
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from unfreeze import environment, files
from unfreeze.data.reading.row_file import RowFile
from unfreeze.errors import UserError
from unfreeze.training.checkpoint import make_room
from unfreeze.words import quantity

_KEPT_FREE = 10**9  # bytes of the disk
_DIGEST = 32  # bytes
_TRAILER = 8 + _DIGEST  # the seconds before it


class NoRoom(Exception):
    """The outputs cannot be kept; the text says why."""


@dataclass(frozen=True)
class Stored:
    """Outputs that are kept.

    Attributes:
        rows: (N, bytes) uint8.
        seconds: that making them took, whichever run did.
        made: whether that was now.
    """

    rows: torch.Tensor | RowFile
    seconds: float
    made: bool


def keep(key: str, shape: tuple[int, int], make: Callable[[], Iterator[np.ndarray]],
         memory_limit: int, clock: Callable[[], float]) -> Stored:
    """The rows of a key, made now unless they are there.

    Args:
        key: of all that decides them.
        shape: (N, bytes) of them all.
        make: yields (B, bytes) uint8, together of that shape.
        memory_limit: bytes up to which they are held in memory (on the CPU); else they stay in
            their file.
        clock: tells the seconds that making them takes.

    Raises:
        NoRoom: they are too large, or the scratch folder cannot be used. What `make` raises goes
            through.
    """
    size, limit = math.prod(shape), environment.prefix_limit()
    if size > limit:
        raise NoRoom(f"{quantity(size, 'bytes')} are more than UNFREEZE_PREFIX_GB={limit / 1e9:g}"
                     if limit else "UNFREEZE_PREFIX_GB is 0")
    file = environment.scratch() / "prefixes" / f"{key}.npy"
    whole = size <= memory_limit
    stored = _open(file, shape, whole, made=False)
    if stored is None:
        with _trouble(file.parent):
            _prepare(file.parent, size, limit)
        _write(file, shape, make(), clock)
        stored = _open(file, shape, whole, made=True)
    if stored is None:
        raise NoRoom(f"{file} was lost as soon as it was written")
    return stored


def _open(file: Path, shape: tuple[int, int], whole: bool, made: bool) -> Stored | None:
    """What a file holds, in memory or not; None where it is not there, or not as it was written."""
    head, size = len(_head(shape)), math.prod(shape)
    try:
        content = np.fromfile(file, np.uint8) if whole else np.memmap(file, np.uint8, "r")
        if len(content) != head + size + _TRAILER:
            return None
        rows, trailer = content[head:head + size], content[head + size:].tobytes()
        if hashlib.sha256(content[:-_DIGEST]).digest() != trailer[8:]:
            return None
        os.utime(file)  # what was used last goes last
        return Stored(torch.from_numpy(rows).view(shape) if whole else RowFile(file),
                      struct.unpack("<d", trailer[:8])[0], made)
    except (OSError, ValueError, UserError):  # also: another process deletes it
        return None


def _write(file: Path, shape: tuple[int, int], rows: Iterator[np.ndarray],
           clock: Callable[[], float]) -> None:
    temporary = files.unfinished(file)
    start, digest = clock(), hashlib.sha256(_head(shape))
    try:
        with _trouble(file.parent):
            out = open(temporary, "wb")
        with out:
            with _trouble(file.parent):
                out.write(_head(shape))
            for part in rows:  # which has troubles of its own
                digest.update(part)
                with _trouble(file.parent):
                    out.write(part.data)
            seconds = struct.pack("<d", clock() - start)
            digest.update(seconds)
            with _trouble(file.parent):
                out.write(seconds + digest.digest())
                out.flush()
                os.fsync(out.fileno())
        with _trouble(file.parent):
            os.replace(temporary, file)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _head(shape: tuple[int, int]) -> bytes:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return head.getvalue()


def _prepare(folder: Path, size: int, limit: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    deletable = sum(file.stat().st_size for file in folder.iterdir())
    if shutil.disk_usage(folder).free + deletable < size + _KEPT_FREE:
        raise NoRoom(f"{quantity(size, 'bytes')} do not fit on the disk of {folder}")
    make_room(folder, limit - size)
    if shutil.disk_usage(folder).free < size + _KEPT_FREE:
        make_room(folder, 0)


@contextlib.contextmanager
def _trouble(folder: Path) -> Iterator[None]:
    """What the system refuses means that there is no room."""
    try:
        yield
    except OSError as error:
        raise NoRoom(f"{folder} cannot be used ({error.strerror})") from None
