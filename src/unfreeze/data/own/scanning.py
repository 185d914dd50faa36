"""Which photos a folder or an archive of the user's holds; remembered, since it reads every file
and params.yaml changes more often than the images do."""

import hashlib
import json
import os
from dataclasses import astuple
from pathlib import Path

from unfreeze import environment, files
from unfreeze.data import photos
from unfreeze.data.photos import links, table
from unfreeze.errors import UserError, in_a_terminal

_KEPT = 20


def settled(path: Path, skip_broken: bool) -> tuple[photos.Collection, str, str]:
    """The photos of a folder or an archive in two splits, train and test; how that came about; and
    the digest of them as they lie there.

    Raises:
        UserError: of `photos.scan`.
    """
    collection = _scan(path, skip_broken)
    return *photos.settle_splits(collection), photos.digest(collection)


def changed(path: Path) -> UserError:
    """The error for images that are not those that plan saw."""
    return UserError(f"{path}: has changed since params.yaml was read; run `dvc repro -f plan`, "
                     "which notes what is there now, and then `dvc repro`")


def _scan(path: Path, skip_broken: bool) -> photos.Collection:
    """`photos.scan`, remembered in the scratch folder. Any file's other name, size or time is
    another scan."""
    key = hashlib.sha256()
    for source in sorted(Path(photos.__file__).parent.glob("*.py")):
        key.update(source.read_bytes())
    key.update(json.dumps([str(path.resolve()), skip_broken, environment.link_folders(),
                           sorted(_stats(path))]).encode())
    folder = environment.scratch() / "scans"
    file = folder / f"{key.hexdigest()}.json"
    collection = _remembered(file)
    if collection is not None:
        if collection.problems:
            print(f"warning: {in_a_terminal(path)}: skips {len(collection.problems)} files that "
                  f"cannot be used, such as {collection.problems[0]}", flush=True)
        return collection
    collection = photos.scan(path, skip_broken)
    content = json.dumps({"classes": collection.classes, "problems": collection.problems,
                          "photos": list(map(astuple, collection.photos))})
    files.write_text(file, f"{_digest(content)}\n{content}")
    for old in sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime)[:-_KEPT]:
        old.unlink(missing_ok=True)
    return collection


def _remembered(file: Path) -> photos.Collection | None:
    """What a file holds; None where there is none, or it is not as it was written."""
    try:
        digest, content = file.read_text("utf-8").split("\n", 1)
        if digest != _digest(content):
            return None
        kept = json.loads(content)
        return photos.Collection(tuple(kept["classes"]),
                                 tuple(photos.Photo(*photo) for photo in kept["photos"]),
                                 tuple(kept["problems"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _stats(path: Path) -> list[tuple]:
    if table.is_table(path):
        return [(name, *_stat(name)) for name in table.stats(path)]
    if not path.is_dir():
        return [("", *_stat(path))]
    try:
        return [(os.path.relpath(inner, path), *_stat(inner))
                for inner, is_folder in links.walk(str(path)) if not is_folder]
    except OSError:  # a folder that cannot be read: the scan will say so
        return []


def _stat(path: str | Path) -> tuple[int, int]:
    try:
        stat = os.stat(path)
    except (OSError, ValueError):  # a link to nowhere, or no name of a file: the scan will say so
        return -1, -1
    return stat.st_size, stat.st_mtime_ns
