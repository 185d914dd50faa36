"""Photos -> one array of what the model sees, by several processes, whole or not at all.

It is a plain .npy file. Workers write their rows with pwrite, not through a mapping of the
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
from PIL import Image
from tqdm import tqdm

from unfreeze import files, pool
from unfreeze.data.photos import archive
from unfreeze.data.photos.collection import Photo, chunks, reader
from unfreeze.data.photos.names import shown
from unfreeze.data.photos.preprocess import preprocess
from unfreeze.errors import NO_ROOM, UserError
from unfreeze.recipe import Preprocessing

_IN_MESSAGE = 10


@dataclass(frozen=True)
class _Job:
    """What is the same for all photos of a file."""

    path: Path
    out: Path
    offset: int  # bytes before the first row
    preprocessing: Preprocessing


def write_photos(path: Path, photos: Sequence[Photo], preprocessing: Preprocessing, out: Path,
                 workers: int) -> None:
    """Write the photos, in their order, as an (N, image_size, image_size, 3) uint8 .npy file.

    The bytes are those of `preprocess`: they depend neither on the number of processes nor on the
    kind of archive.

    Args:
        path: the folder or archive that `photos` are members of; no member more than once if it
            is a tar.
        photos: rows of the array. One whose sha256 is not empty must still have it.
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
    temporary = files.unfinished(out)
    try:
        offset = _reserve(temporary, len(photos), preprocessing.image_size)
        job = _Job(path, temporary, offset, preprocessing)
        problems = []
        with (tqdm(total=len(photos), desc=f"decoding {shown(path.name)}", unit=" images",
                   disable=None) as bar,
              closing(pool.run(_write, _tasks(job, photos), workers)) as results):
            for count, faults in results:
                bar.update(count)
                problems += faults
        if problems:
            more = f"; and {len(problems) - _IN_MESSAGE} more" * (len(problems) > _IN_MESSAGE)
            raise UserError(
                f"{shown(path)}: {len(problems)} of {len(photos)} images cannot be decoded: "
                f"{'; '.join(sorted(problems)[:_IN_MESSAGE])}{more}. If they were changed, run "
                "`dvc repro -f plan` first")
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)


def _reserve(path: Path, rows: int, size: int) -> int:
    """Make an empty array with all the room that it will need; returns where its rows begin."""
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
    if archive.is_tar(job.path):
        rows = {photo.member: row for row, photo in enumerate(photos)}
        if len(rows) < len(photos):
            raise UserError(f"{shown(job.path)}: a member is wanted more than once")
        members = (member for member in archive.members(job.path, rows.__contains__)
                   if not member.is_folder and not member.problem)
        left = set(rows)
        for chunk in chunks(members):
            left -= {member.name for member in chunk}
            yield job, [(row := rows[member.name], member, photos[row].sha256) for member in chunk]
        if left:
            raise UserError(f"{shown(job.path)}: {len(left)} images are missing from the archive "
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
        Image.core.set_blocks_max(8)
    file = os.open(job.out, os.O_WRONLY)
    try:
        for row, member, sha256 in rows:
            try:
                content = member.content
                if content is None:
                    content = reader(job.path).read(member.name)
                if sha256 and hashlib.sha256(content).hexdigest() != sha256:
                    raise UserError("changed since it was scanned")
                square = preprocess(content, job.preprocessing)
            except UserError as error:
                problems.append(f"{shown(member.name)}: " + str(error).removeprefix(
                    f"{shown(job.path)}: {shown(member.name)}: "))
                continue
            levels = square.tobytes()
            if os.pwrite(file, levels, job.offset + row * len(levels)) < len(levels):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(job.out))
    finally:
        os.close(file)
    return len(rows), problems
