"""What choices of an earlier params.yaml left behind, of runs that are no more."""

from collections.abc import Collection, Iterator
from pathlib import Path

import yaml

from unfreeze import files


def remove(runs: Collection[str], study: Path = Path(".")) -> None:
    """Delete what choose@RUN wrote of other runs than these: recipes/ counts as a whole among what
    stages depend on, so that a clone, which lacks it, would never be up to date. What else lies
    there stays, and what somebody has changed.

    Args:
        study: the study's folder.
    """
    for name, digest in _written(study / "dvc.lock"):
        file = study / name
        if file.stem not in runs and file.is_file() and files.file_digest(file, "md5") == digest:
            file.unlink()


def _written(lock: Path) -> Iterator[tuple[str, str]]:
    """(file, MD5) of what DVC knows to be written by choose@RUN, of runs that are gone too."""
    if not lock.exists():
        return
    # C's parser where there is one: a second less.
    stages = yaml.load(lock.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"]
    for name, stage in stages.items():
        if name.startswith("choose@"):
            yield from ((out["path"], out["md5"]) for out in stage["outs"])
