"""What `unfreeze predict` is asked for, and where it puts it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from unfreeze import files, places
from unfreeze import recipe as recipes
from unfreeze.data.photos import table
from unfreeze.data.photos.names import shown
from unfreeze.errors import UserError, nearest
from unfreeze.using import predict, scored, sheet, studies, tables
from unfreeze.using.predict import Predicted
from unfreeze.words import count

_HEAD = 1 << 16  # characters of a file that tell whose it is: its first line may hold long paths


def write(words: Sequence[str], seed: int | None, top: int, form: str, to: Path | None,
          page: Path | None) -> None:
    """Name pictures, write the table and perhaps the page, say scores and what could not be read.

    Args:
        words: study, run, pictures, as typed; see `parted`.
        seed: of `predict.predict`. top: classes of each picture. form: of tables.FORMATS.
        to: where the table goes, None: standard output. page: where the contact sheet goes, None:
            there is none.

    Raises:
        UserError: something cannot be done as asked; or, when all else is done, pictures could not
            be read.
    """
    study, run, paths = parted(words)
    for file, start in ((to, tables.START), (page, re.compile(re.escape(sheet.START)))):
        if file is not None:
            check_output(file, start)
    if page is not None:
        sheet.check_name(page)
        if to is not None and os.path.realpath(to) == os.path.realpath(page):
            raise UserError(f"--to and --sheet: both name {shown(page)}; name a file for each")
    run = studies.chosen(study, run)
    classes = len(recipes.read(study / places.RECIPES / f"{run}.yaml").classes)
    if not 1 <= top <= classes:
        raise UserError(f"--top {top}: {run} knows {classes} classes; allowed: 1 to {classes}")
    found = predict.predict(study, run, paths, seed, thumbnails=page is not None)
    if not found.pictures:
        raise _nothing_read(found.problems)
    text = tables.text(found, form, top)
    if to is None:
        _print(text)
    else:
        files.write_text(to, text)
    if page is not None:
        files.write_text(page, sheet.page(found))
    _say(_lines(found, to, page))
    if found.problems:
        _say(f"  {line}" for line in found.problems)
        total = len(found.problems) + len(found.pictures)
        raise UserError(f"{len(found.problems):,} of {count(total, 'picture')} could not be read; "
                        "they are listed above, and the others are done")


def _nothing_read(problems: Sequence[str]) -> UserError:
    """Where there is nothing to write, what was written earlier stays."""
    if len(problems) == 1:
        return UserError(problems[0])
    _say(f"  {line}" for line in problems)
    return UserError(f"none of {len(problems):,} pictures could be read; they are listed above, "
                     "and nothing was written")


def parted(words: Sequence[str]) -> tuple[Path, str | None, list[Path]]:
    """The study, the run that is named, and the paths of pictures, in what was typed. A word that
    is none of the first two is a path; `./lora` is always one, whatever the runs are called.

    Raises:
        UserError: of `studies.named`; no path is left, or there is none of that name.
    """
    study, run, rest = studies.named(words)
    if not rest:
        raise UserError("no picture is named: `unfreeze predict STUDY [RUN] PATH...`, where each "
                        "PATH is a picture, or a folder or an archive of pictures")
    known = studies.runs(study)
    if not known:
        studies.chosen(study, None)  # which says that the study has not been run
    for place, word in enumerate(rest):
        if not any(map(os.path.lexists, (word, table.file_of(word), Path(word).expanduser()))):
            raise _no_such(word, study, known if place == 0 and run is None and len(rest) > 1
                           else (), place == 0 and len(rest) == len(words))
    return study, run, [Path(word) for word in rest]


def _no_such(word: str, study: Path, runs: Sequence[str], may_be_a_study: bool) -> UserError:
    """Of a word that is no path: it may have been meant for a study or a run.

    Args:
        runs: of the study, if a run could stand there. may_be_a_study: whether none was named.
    """
    others = [*(studies.names() if may_be_a_study else ()), *runs]
    return UserError(
        f"{shown(word)}: no such picture, folder or archive"
        + ", no study" * may_be_a_study
        + f", and no run of {'this folder' if may_be_a_study else study}" * bool(runs)
        + nearest(word, others)
        + (f"; its runs are {', '.join(runs)}" if runs and not may_be_a_study else ""))


def check_output(file: Path, start: re.Pattern) -> None:
    """May a file be written there? What was written by the same command before may be replaced.

    Args:
        start: of what that writes.

    Raises:
        UserError: a folder, a link, a device or somebody's file lies there, or there is no folder
            to put it into.
    """
    if file.is_dir():
        raise UserError(f"{shown(file)}: is a folder; name a file in it")
    if not file.parent.is_dir():
        raise UserError(f"{shown(file.parent)}: no such folder; make it first")
    if not os.path.lexists(file):
        return
    if file.is_symlink() or not file.is_file():
        raise UserError(f"{shown(file)}: is there already and is a link, a pipe or a device, which "
                        "would be lost; name another file")
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            head = opened.read(_HEAD)
    except OSError as error:
        raise UserError(f"{shown(file)}: is there and cannot be read ({error.strerror}); name "
                        "another file") from None
    if head and not start.match(head):
        raise UserError(f"{shown(file)}: is there already and was not written by unfreeze; name "
                        "another file, or move it away")


def _lines(found: Predicted, to: Path | None, page: Path | None) -> Iterable[str]:
    """What is said besides the table."""
    models = count(len(found.seeds), "model")
    seeds = ", ".join(map(str, found.seeds))
    yield (f"{count(len(found.pictures), 'picture')} named by {found.run} ({models}, seed"
           f"{'s' * (len(found.seeds) > 1)} {seeds})" + (f": {to}" if to else ""))
    if not found.scaled:
        yield ("probabilities are as sure as training left them: without validation images no "
               "temperature is known")
    scores = scored.scored(found)
    if scores:
        yield from scored.lines(scores, len(found.pictures))
        if found.trained_on:
            yield (f"warning: {found.trained_on:,} of the {count(len(found.pictures), 'picture')} "
                   "are training images of the study: on those a model is better than on others")
    if page is not None:
        yield f"contact sheet: {page}"
        if is_tracked_by_git(page):
            yield (f"warning: {page} shows the pictures, and git would take it into a commit; "
                   "write it elsewhere, or put it into .gitignore")


def is_tracked_by_git(file: Path) -> bool:
    """Whether `git add -A` would take a file."""
    folder = file.resolve().parent
    try:
        inside = subprocess.run(["git", "rev-parse", "--is-inside-work-tree"], cwd=folder,
                                capture_output=True).returncode == 0
        return inside and subprocess.run(["git", "check-ignore", "-q", file.name], cwd=folder,
                                         capture_output=True).returncode == 1
    except OSError:  # there is no git
        return False


def _print(text: str) -> None:
    """To standard output, whose reader may have had enough of it (`| head`)."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr, flush=True)
