"""Photo datasets of the catalogue: their official files, kept as they came, and what these say of
split and label of each image.

    _made/data/NAME/FILE     the official archives and annotations, verified by MD5
"""

import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from unfreeze import environment
from unfreeze.errors import UserError
from unfreeze.fetching import sources
from unfreeze.fetching.sources import Source


class Entry(NamedTuple):
    """An image.

    Attributes:
        split: "train" or "test".
        label: from 0.
        archive: the official file (or folder) that holds it, a key of `paths`.
        member: its path in there, with slashes.
    """

    split: str
    label: int
    archive: str
    member: str


@dataclass(frozen=True)
class Index:
    """What the official files say: class names in label order, and the images."""

    classes: tuple[str, ...]
    entries: list[Entry]


def fetch(facts: ModuleType, folder: Path) -> Index:
    """Bring the official files of a photo dataset into a folder, and read what they say. A file
    that is there with the right MD5 stays.

    Args:
        facts: a dataset's module, or anything with its attributes.
        folder: where they go.

    Raises:
        UserError: a file cannot be had (all of those are named at once), or the files do not say
            what the facts do.
    """
    missing = []
    for asset in facts.ASSETS:
        try:
            sources.keep(asset, folder)
        except UserError as error:
            missing.append((asset, error))
    if len(missing) == 1:
        raise missing[0][1]
    if missing:
        wanted = ", ".join(f"{asset.file} (MD5 {asset.md5})" for asset, _ in missing)
        note = missing[0][0].note
        raise UserError(f"{_name(facts)}: no source is left for {len(missing)} of its files (why "
                        f"is above). Put {wanted} into a folder and name the folder in "
                        "UNFREEZE_MIRROR" + (f". {note}" if note else ""))
    return read(facts, folder)


def read(facts: ModuleType, folder: Path) -> Index:
    """What the official files say that `fetch` brought: the training images first, those of a
    split in the official order.

    Raises:
        UserError: as `fetch`.
    """
    at = paths(facts, folder)
    try:
        index = facts.index(at)
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{', '.join(str(path) for path in at.values())}: not the official layout "
                        f"({type(error).__name__}: {error})") from None
    check(facts, index)
    return Index(index.classes, sorted(index.entries, key=lambda entry: entry.split == "test"))


def paths(facts: ModuleType, folder: Path) -> dict[str, Path]:
    """{official file: where it lies} once it is fetched; a FOLDER lies in the mirror folder.

    Raises:
        UserError: the dataset is read in place, and is not there.
    """
    name = getattr(facts, "FOLDER", None)
    if name is None:
        return {asset.file: folder / asset.file for asset in facts.ASSETS}
    mirror = environment.mirror()
    if mirror is None or not (mirror / name).is_dir():
        raise UserError(f"{mirror or 'UNFREEZE_MIRROR'}/{name}: no such folder; get the dataset "
                        f"from {facts.URL} and name the folder that holds the folder {name} in "
                        "UNFREEZE_MIRROR")
    return {name: mirror / name}


def check(facts: ModuleType, index: Index) -> None:
    """Do the official files say what the facts do?

    Raises:
        UserError: the number of classes or images differs, a label is out of range, or an image
            is there twice.
    """
    where = _name(facts)
    counts = Counter(entry.split for entry in index.entries)
    for what, expected, listed in (("classes", facts.COUNT, len(index.classes)),
                                   ("training images", facts.TRAIN, counts["train"]),
                                   ("test images", facts.TEST, counts["test"])):
        if expected != listed:
            raise UserError(f"{where}: its files list {listed} {what}, not {expected}")
    if len(set(index.classes)) < len(index.classes):
        raise UserError(f"{where}: its files name a class twice")
    if sorted({entry.label for entry in index.entries}) != list(range(facts.COUNT)):
        raise UserError(f"{where}: the labels in its files are not all of 1 to "
                        f"{facts.COUNT}")
    if len({(entry.archive, entry.member) for entry in index.entries}) < len(index.entries):
        raise UserError(f"{where}: its files list an image twice")


def _name(facts: ModuleType) -> str:
    return facts.__name__.rsplit(".", 1)[-1]


def read_members(archive: Path, *names: str) -> list[bytes]:
    """The content of small files in an official archive, in the order asked.

    Raises:
        UserError: the archive is damaged, or lacks one of them.
    """
    contents = Source("kept", str(archive), archive).members(names)
    return [contents[name] for name in names]


def table(content: bytes) -> list[list[str]]:
    """The lines of a small text file, each split at spaces; empty ones left out."""
    return [line.split() for line in content.decode().splitlines() if line.strip()]


def matlab(content: bytes, key: str) -> np.ndarray:
    """A variable of a .mat file, without its dimensions of length 1.

    Raises:
        ValueError: the file cannot be read, or lacks it.
    """
    from scipy.io import loadmat

    try:
        return np.atleast_1d(loadmat(io.BytesIO(content), squeeze_me=True)[key])
    except Exception as error:  # loadmat raises nearly everything on damaged files
        raise ValueError(f"{key} of a .mat file: {error}") from None
