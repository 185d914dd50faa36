"""The folder of an export: whole or not there, replaced as a whole, and never somebody else's."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unfreeze import files
from unfreeze.data.photos.names import shown
from unfreeze.errors import UserError

CONFIG = "config.json"
OURS = "unfreeze"  # its key that holds what the rest of this project says


def check(folder: Path) -> None:
    """May an export be written there? An earlier one, as it was written, may be replaced.

    Raises:
        UserError: something else lies there, or there is no folder to put it into.
    """
    if not folder.resolve().parent.is_dir():
        raise UserError(f"{shown(folder.parent)}: no such folder; make it first")
    if not os.path.lexists(folder):
        return
    another = "name another folder, or move it away"
    if folder.is_symlink() or not folder.is_dir():
        raise UserError(f"--to {shown(folder)}: is there already and is no folder; {another}")
    there = {path.name for path in folder.iterdir()} - {"__pycache__"}
    if not there:
        return
    written = _written(folder)
    if written is None:
        raise UserError(f"--to {shown(folder)}: is there already and is no export of unfreeze; "
                        f"{another}")
    if CONFIG not in written:  # nor its values: of a version that did not note them
        raise UserError(f"--to {shown(folder)}: holds an export of an earlier version of unfreeze, "
                        f"of which nobody can tell whether {CONFIG} was changed since; {another}")
    for name in sorted(there):
        path = folder / name
        if name not in written or not path.is_file() or _digest(path) != written[name]:
            what = "was changed since it was written" if name in written else "is not part of it"
            raise UserError(f"--to {shown(folder)}: holds an earlier export, in which "
                            f"{shown(name)} {what} and would be lost; {another}")


def _written(folder: Path) -> dict[str, str] | None:
    """{file: SHA-256} of an earlier export; None: it is none."""
    try:
        written = files.read_json(folder / CONFIG)[OURS]["files"]
        return dict(written)
    except (UserError, TypeError, KeyError, ValueError):
        return None


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """A fresh folder to fill that takes the place of `folder` when the block ends well."""
    new, old = files.unfinished(folder), files.unfinished(folder)
    new.mkdir()
    try:
        yield new
        shutil.rmtree(new / "__pycache__", ignore_errors=True)
        if folder.exists():
            os.rename(folder, old)
        try:
            os.rename(new, folder)
        except OSError:
            if old.exists():
                os.rename(old, folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _digest(file: Path) -> str:
    """SHA-256 of a file; of config.json, which holds the digests, of its values without them."""
    if file.name != CONFIG:
        return files.file_digest(file)
    config = files.read_json(file)
    text = json.dumps({**config, OURS: {**config[OURS], "files": {}}})
    return hashlib.sha256(text.encode()).hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """{file: SHA-256} of all that lies there; see `_digest`."""
    return {path.name: _digest(path) for path in sorted(folder.iterdir())
            if path.is_file()}
