"""Photos -> one memory map of the final size, by several processes, whole or not at all.

The map is a plain .npy file. Workers write their rows with pwrite, not through a mapping of the
file: mapped pages count as a process's memory until the system takes them back, and a full disk
kills who writes to a mapping instead of telling it.
"""

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path

import numpy as np
from tqdm import tqdm

from unfreeze import pool
from unfreeze.data.photos import archive, pixels
from unfreeze.data.photos.archive import shown
from unfreeze.data.photos.collection import Photo, chunks, reader
from unfreeze.errors import NO_ROOM, UserError

_READ = 1 << 25  # bytes of a map in memory at a time
_IN_MESSAGE = 10


@dataclass(frozen=True)
class _Job:
    """What is the same for all photos of a map."""

    place: Path
    out: Path
    offset: int  # bytes before the first row
    size: int
    resize: int | None
    interpolation: str


def ingest(place: Path, photos: Sequence[Photo], size: int, resize: int | None,
           interpolation: str, out: Path, workers: int) -> None:
    """Write the photos, in their order, as an (N, size, size, 3) uint8 .npy file.

    The bytes depend neither on the number of processes nor on the kind of archive, and are those
    of torchvision's Resize and CenterCrop on PIL images.

    Args:
        place: the folder or archive that `photos` are members of; no member more than once if it
            is a tar.
        photos: rows of the map. One whose sha256 is not empty must still have it.
        size, resize, interpolation: as `pixels.resize_and_crop` has them.
        out: the file; there only when all is well.
        workers: processes that decode at the same time.

    Raises:
        UserError: photos are missing, broken or changed since they were scanned: all in one line.
        OSError: no room left on the disk, before anything is decoded.
    """
    reader.cache_clear()  # the archive may be another by now
    out.parent.mkdir(parents=True, exist_ok=True)
    for stale in out.parent.glob(f".{escape(out.name)}.*.part"):  # of a process that was killed
        stale.unlink()
    temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        job = _Job(place, temporary, _reserve(temporary, len(photos), size), size, resize,
                   interpolation)
        problems = []
        with (tqdm(total=len(photos), desc=f"decoding {shown(place.name)}", unit=" images",
                   disable=None) as bar,
              closing(pool.run(_write, _tasks(job, photos), workers)) as results):
            for count, found in results:
                bar.update(count)
                problems += found
        if problems:
            more = f"; and {len(problems) - _IN_MESSAGE} more" * (len(problems) > _IN_MESSAGE)
            raise UserError(
                f"{shown(place)}: {len(problems)} of {len(photos)} images cannot be decoded: "
                f"{'; '.join(sorted(problems)[:_IN_MESSAGE])}{more}. If they were changed, run "
                "`dvc repro -f plan` first")
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)


def _reserve(path: Path, rows: int, size: int) -> int:
    """Make an empty map with all the room that it will need; returns where its rows begin."""
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {
            "descr": "|u1", "fortran_order": False, "shape": (rows, size, size, 3)})
        offset = file.tell()
        total = offset + rows * size * size * 3
        try:
            os.posix_fallocate(file.fileno(), 0, total)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise OSError(error.errno, error.strerror, str(path)) from None
            file.truncate(total)  # not every file system reserves
    return offset


Row = tuple[int, archive.Member, str]  # row, member, expected SHA-256


def _tasks(job: _Job, photos: Sequence[Photo]) -> Iterator[tuple[_Job, list[Row]]]:
    if archive.is_tar(job.place):
        rows = {photo.member: row for row, photo in enumerate(photos)}
        if len(rows) < len(photos):
            raise UserError(f"{shown(job.place)}: a member is wanted more than once")
        found = (member for member in archive.members(job.place, rows.__contains__)
                 if not member.is_folder and not member.problem)
        left = set(rows)
        for chunk in chunks(found):
            left -= {member.name for member in chunk}
            yield job, [(row := rows[member.name], member, photos[row].sha256) for member in chunk]
        if left:
            raise UserError(f"{shown(job.place)}: {len(left)} images are missing from the archive "
                            f"or are links: {', '.join(map(shown, sorted(left)[:_IN_MESSAGE]))}")
        return
    row = 0
    for chunk in chunks(archive.Member(photo.member) for photo in photos):
        yield job, [(row + i, member, photos[row + i].sha256) for i, member in enumerate(chunk)]
        row += len(chunk)


def _write(task: tuple[_Job, list[Row]]) -> tuple[int, list[str]]:
    """Decode some photos into their rows; returns how many there were, and what was wrong."""
    job, rows = task
    problems = []
    # Pillow gives an image's memory back to the system and asks for it again; keeping some spares
    # the system clearing those pages for every photo.
    with suppress(AttributeError):
        pixels.Image.core.set_blocks_max(8)
    file = os.open(job.out, os.O_WRONLY)
    try:
        for row, member, sha256 in rows:
            try:
                content = member.content
                if content is None:
                    content = reader(job.place).read(member.name)
                if sha256 and hashlib.sha256(content).hexdigest() != sha256:
                    raise UserError("changed since it was scanned")
                image = pixels.resize_and_crop(
                    pixels.decode(content), job.size, job.resize, job.interpolation)
            except UserError as error:
                problems.append(f"{shown(member.name)}: " + str(error).removeprefix(
                    f"{shown(job.place)}: {shown(member.name)}: "))
                continue
            levels = image.tobytes()
            if os.pwrite(file, levels, job.offset + row * len(levels)) < len(levels):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(job.out))
    finally:
        os.close(file)
    return len(rows), problems


def statistics(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation over all pixels, per RGB channel in 0..1, to 4 decimals.

    Args:
        path: a map (N, S, S, 3) uint8, read piece by piece: memory does not grow with it.
    """
    shape = np.load(path, mmap_mode="r").shape
    step = max(1, _READ // (shape[1] * shape[2] * 3))
    # Integer sums: exact, so the same however the rows are divided.
    count, total, squares = 0, np.zeros(3, np.int64), np.zeros(3, np.int64)
    for start in range(0, shape[0], step):
        # A fresh mapping each time: the pages of one count as memory as long as it lives.
        levels = np.load(path, mmap_mode="r")[start:start + step].reshape(-1, 3)
        for channel in range(3):
            counts = np.bincount(levels[:, channel], minlength=256)
            total[channel] += counts @ np.arange(256)
            squares[channel] += counts @ np.arange(256) ** 2
        count += len(levels)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return tuple(np.round(mean / 255, 4).tolist()), tuple(np.round(std / 255, 4).tolist())
