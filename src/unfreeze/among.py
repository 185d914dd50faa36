"""Folders of which git tracks what a stage makes, and in which people keep files of their own too.

What the stage made stands in a file there, LIST, tracked with it. Of all else there nothing is
deleted: dvc.yaml says `persist: true` of these folders, or DVC would empty them before the stage.
DVC takes whatever lies in an output into each experiment, and `dvc exp apply` brings it back as it
was then: so what is not made, and lies there, is told.
"""

import errno
import filecmp
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from unfreeze import files
from unfreeze.errors import UserError, in_a_terminal

LIST = ".made"
_ABOUT = "# What `dvc repro` makes here, and replaces. Whatever else lies here is yours, and stays."


def made(folder: Path) -> list[str]:
    """The files that a stage has made in a folder, as seen from there; [] where it has no list."""
    try:
        lines = (folder / LIST).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [line for line in lines if line and not line.startswith("#")]


@contextmanager
def others(folder: Path, outputs: Sequence[str] = ("",)) -> Iterator[Path]:
    """A fresh folder to fill. When the block ends well, its files take the place of those that a
    stage has made in `folder`; what else lies there stays.

    Args:
        outputs: which folders in it are outputs in dvc.yaml; "" is itself.

    Raises:
        UserError: something of the user's own lies where a file is to be. Nothing has changed then.
    """
    for left in (folder, folder / LIST):
        files.remove_unfinished(left)
    new = files.unfinished(folder)
    new.mkdir(parents=True)
    try:
        yield new
        _take(new, folder)
        for name in outputs:
            _tell_of_others(folder / name, {folder / each for each in made(folder)})
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _take(new: Path, folder: Path) -> None:
    names = sorted(file.relative_to(new).as_posix() for file in new.rglob("*") if file.is_file())
    before = made(folder)
    if before:  # else it is new, or of a version that had no list
        for name in {*names} - {*before}:
            _check_free(folder, name, new / name)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    # Of both, should the process be killed before the end.
    _list(folder, {*before, *names})
    for name in names:
        _move(new / name, folder / name)
    for name in {*before} - {*names}:
        _delete(folder, name)
    _list(folder, names)


def _move(new: Path, place: Path) -> None:
    try:
        os.replace(new, place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        files.remove_unfinished(place)
        files.write_bytes(place, new.read_bytes())  # a folder may be a link to another disk


def _check_free(folder: Path, name: str, new: Path) -> None:
    place = folder / name
    above = [each for each in place.parents if each.is_relative_to(folder) and each.exists()]
    taken = next((each for each in above if not each.is_dir()), None)
    if taken is None and os.path.lexists(place) and not (
            place.is_file() and not place.is_symlink() and filecmp.cmp(place, new, shallow=False)):
        taken = place
    if taken is not None:
        raise UserError(f"{taken}: lies where `dvc repro` is to put a file of this name, and is "
                        "not of its making; move it elsewhere, and run the same command again")


def _tell_of_others(output: Path, known: set[Path]) -> None:
    others = sorted(place for place in output.rglob("*") if not place.is_dir()
                    and place not in known and place.name != LIST)
    if others:
        more = f" and {len(others) - 1} more in {output}" * (len(others) > 1)
        print(in_a_terminal(
            f"warning: {others[0]}{more}: not of `dvc repro`'s making, and in a folder that DVC "
            "takes into each experiment whole: `dvc exp apply` would bring back what it was then; "
            "keep it elsewhere"), file=sys.stderr, flush=True)


def _delete(folder: Path, name: str) -> None:
    """A file that was made, and the folders below this one that are empty without it."""
    place = Path(os.path.normpath(folder / name))
    if not place.is_relative_to(folder) or place.is_dir():  # a list that somebody has written
        return
    place.unlink(missing_ok=True)
    for above in place.parents:
        if above == folder or not above.is_dir() or any(above.iterdir()):
            break
        above.rmdir()


def _list(folder: Path, names: Iterable[str]) -> None:
    files.write_text(folder / LIST, "\n".join([_ABOUT, *sorted(names)]) + "\n")
