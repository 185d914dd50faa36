"""What DVC watches of the user's own: links to images and checkpoints, outputs of the stage plan.

DVC compares outputs by their content, so a photo or a checkpoint that was changed, added or taken
away has plan run again, which notes what is there now. Of what lies below a link to a folder it
sees nothing, unless the link itself is the output: hence a place for each folder. Nothing of them
is kept in DVC's cache (`cache: false`), and nothing is deleted before plan runs (`persist: true`).
"""

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from unfreeze import files, places
from unfreeze.data.photos import links, table
from unfreeze.errors import in_a_terminal
from unfreeze.params.plan import Checkpoint, Plan

_NO_FOLDER = "Nothing is watched here. Where a study has a folder of images, a link to it stands " \
             "here.\n"
_ABOUT = "Links to the checkpoints and archives of this study, so that DVC notices when they " \
         "change.\n"


def write(plan: Plan, folder: Path = Path(".")) -> None:
    """Make the links of a plan in a study's folder; what cannot be watched is told.

    Args:
        plan: whose paths of images and checkpoints are seen from the working folder.
    """
    own = sorted({*(path for source in plan.datasets.values() if source.path
                    for path in _images(source.path)),
                  *(source.path for source in plan.weights.values()
                    if isinstance(source, Checkpoint))})
    folders = [path for path in own if os.path.isdir(path)]
    unfit = {path: _unfit(path) for path in folders}
    watched = [path for path in folders if not unfit[path]]
    for place, path in zip(places.WATCHED_FOLDERS, [*watched, *[""] * len(places.WATCHED_FOLDERS)],
                           strict=False):
        _put(folder / place, path)
    for path in watched[len(places.WATCHED_FOLDERS):]:
        unfit[path] = f"more than {len(places.WATCHED_FOLDERS)} folders"
    with files.whole_folder(folder / places.WATCHED_FILES) as new:
        (new / "README").write_text(_ABOUT)
        for number, path in enumerate(sorted({*own} - {*folders})):
            # The number keeps apart files of the same name.
            os.symlink(_target(path, places.WATCHED_FILES), new / f"{number}-{Path(path).name}")
    for path, reason in unfit.items():
        if reason:
            print(f"warning: {in_a_terminal(path)}: DVC cannot watch it ({in_a_terminal(reason)}): "
                  "after a change in it run `dvc repro -f plan`", file=sys.stderr, flush=True)


def _images(path: str) -> Iterable[str]:
    """The folder, with those that links in it lead to and that are gone through, or the archive; of
    a table itself and what lies beside it and has its images."""
    if not table.is_table(path):
        return [path, *(links.linked_folders(path) if os.path.isdir(path) else ())]
    found = table.read(Path(path))
    beside = {PurePosixPath(file).parts[0] for file in found.files.values()}
    return [str(table.file_of(path)), *(str(found.root / name) for name in beside)]


def _put(place: Path, path: str) -> None:
    """A link to a folder, or a file that says that there is none."""
    if place.is_dir() and not place.is_symlink():  # a copy of one, as `cp -rL` makes
        shutil.rmtree(place)
    if not path:
        files.write_text(place, _NO_FOLDER)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    new = files.unfinished(place)
    os.symlink(_target(path, places.WATCHED), new, target_is_directory=True)
    os.replace(new, place)


def _target(path: str, within: Path) -> str:
    """What a link in a folder of the study's says for a path that is seen from the study: what is
    relative stays so, since a project may be moved or copied with its images."""
    return path if os.path.isabs(path) else os.path.join(*[os.pardir] * len(within.parts), path)


def _unfit(path: str) -> str:
    """Why DVC, which reads every file to its end, must not look through a folder, or ""."""
    for entry in _files(path):
        if not entry.is_file():
            return f"{entry.path} is no file, or leads nowhere"
        if not os.access(entry.path, os.R_OK):
            return f"{entry.path} cannot be read"
    return ""


def _files(path: str) -> Iterable[os.DirEntry]:
    """What is in a folder and those within, but for folders and links to them."""
    waiting = [path]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif not entry.is_dir():
                    yield entry
