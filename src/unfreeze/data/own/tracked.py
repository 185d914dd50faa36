"""Images that DVC tracks (path.dvc beside path) are as they were when they were added, or an
error."""

import hashlib
import json
from pathlib import Path

from unfreeze import files
from unfreeze.errors import UserError


def check_tracked(path: Path) -> None:
    """Is what DVC tracks as it noted it? What it does not track passes.

    Raises:
        UserError: it has changed, or is not there.
    """
    note = path.parent / f"{path.name}.dvc"
    if not note.is_file():
        return
    content = files.read_yaml(note)
    try:
        (out,) = (out for out in content["outs"] if out["path"] == path.name)
        expected = str(out["md5"])
    except (TypeError, KeyError, ValueError):
        raise UserError(f"{note}: names no MD5 of {path.name}; add it again: "
                        f"`dvc add {path}`") from None
    if not path.exists():
        raise UserError(f"{path}: is tracked by {note} and not here; `dvc pull {note}` (or "
                        "`dvc checkout`) brings it")
    digest = _dvc_digest(path)
    if digest != expected:
        raise UserError(f"{path}: has changed since DVC noted it: MD5 expected {expected} (in "
                        f"{note}), found {digest}; `dvc checkout {note}` restores it, `dvc "
                        f"add {path}` takes the change over")


def _dvc_digest(path: Path) -> str:
    """The MD5 by which DVC 3 knows a file or a folder: of a folder, that of the list of its files'
    paths and MD5s, and ".dir"."""
    if not path.is_dir():
        return files.file_digest(path, "md5")
    listed = sorted(
        ({"md5": files.file_digest(inner, "md5"), "relpath": inner.relative_to(path).as_posix()}
         for inner in path.rglob("*") if inner.is_file()), key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(listed, sort_keys=True).encode(),
                       usedforsecurity=False).hexdigest() + ".dir"
