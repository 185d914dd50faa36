"""Whether files are still the bytes that a digest names.

A file that has been found to be is looked at again when it has been written to or replaced since,
which the system tells: the scratch folder remembers what was found, in an empty file whose name is
a digest of it all.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from unfreeze import environment, files
from unfreeze.errors import UserError

_CLOCK = 2  # seconds: two writes within it may bear the same time, on file systems with few digits


def check(paths: Sequence[Path], digest: str, compute: Callable[[], str]) -> None:
    """Read files whole, unless they have been found good as they are.

    Args:
        paths: of the files.
        digest: that they must have.
        compute: reads them and gives the one that they have.

    Raises:
        UserError: a file is missing, or they have another digest.
    """
    if not once(paths, digest, lambda: compute() == digest):
        folder = os.path.commonpath([path.parent for path in paths])
        raise UserError(f"{' or '.join(path.name for path in paths)} in {folder}: not the bytes "
                        f"that the recipe names (digest {digest[:12]}...), so something changed or "
                        "damaged them; delete that folder and run `dvc repro`, which makes it anew")


def once(paths: Sequence[Path], what: str, look: Callable[[], bool]) -> bool:
    """Whether files are good: what `look` says, or said when they were as they are now.

    Args:
        what: they are looked at for.

    Raises:
        UserError: a file is missing.
    """
    try:
        states = [_state(path) for path in paths]
    except OSError as error:
        raise UserError(f"{error.filename}: missing; run `dvc repro`, which makes it (or `dvc "
                        "checkout`, which restores it)") from None
    key = hashlib.sha256(json.dumps([what, states]).encode()).hexdigest()
    found_good = environment.scratch() / "checked" / key
    if found_good.exists():
        return True
    if not look():
        return False
    if time.time_ns() - max(state[-1] for state in states) > _CLOCK * 10**9:
        with suppress(OSError):  # a scratch folder that cannot be written: looked at each time
            files.write_bytes(found_good, b"")
    return True


def _state(path: Path) -> tuple[str, int, int, int, int]:
    """What is another once somebody has written to a file or put another in its place: its size,
    its inode, and when its content and its inode changed last, in nanoseconds."""
    found = path.stat()
    return (str(path.resolve()), found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
