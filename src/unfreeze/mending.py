"""What keeps DVC from going on, or that it does not see: what a killed `dvc` or a bad disk leaves
broken, and links to what is gone, found and mended.

DVC writes dvc.lock in place, never looks at its cache again, and looks at outputs when their times
have changed. So a whole copy of the first is kept aside, what is in the cache is compared with its
name, which is its MD5, and outputs with the MD5s in dvc.lock.
"""

import configparser
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

import yaml

from unfreeze import environment, files, places
from unfreeze.errors import UserError

LOCK = Path("dvc.lock")
_AT_WORK = Path(".dvc/tmp/rwlock")
DAMAGED = "damaged"  # the folder of a cache that damaged files of it go to
_IN_CACHE = re.compile(r"[0-9a-f]{2}/[0-9a-f]{30}(\.dir)?")


def mend_lock(folder: Path = Path(".")) -> str:
    """Put a whole dvc.lock in place of one that DVC was stopped in writing, and keep a copy of one
    that is whole.

    Args:
        folder: of a study.

    Returns:
        What was done, in a line; "" where there was nothing to do.

    Raises:
        UserError: there is no whole one.
    """
    lock = folder / LOCK
    aside = _aside(lock)
    if not lock.exists():
        return ""
    content = lock.read_bytes()
    if is_whole(content):
        if not aside.is_file() or aside.read_bytes() != content:
            files.write_bytes(aside, content)
        return ""
    if b"\n<<<<<<< " in content:
        raise UserError(f"{lock}: has two versions in it that git could not join; take one of them "
                        f"(`git checkout --theirs {lock}`) and run `dvc repro`")
    for whence, earlier in _earlier(lock, aside):
        if is_whole(earlier):
            files.write_bytes(lock, earlier)
            return (f"{lock}: was half written; the last whole one is back ({whence}), and `dvc "
                    "repro` goes on from there")
    raise UserError(f"{lock}: is half written, and there is no whole one, neither in {aside} nor "
                    "in git; delete it and run `dvc repro`: nothing that was trained here is "
                    "trained again")


def check_git(folder: Path = Path(".")) -> None:
    """Raise UserError where there is no git repository around a study, as in a downloaded .zip, and
    DVC, which then does nothing, has not been told to do without."""
    folder = folder.resolve()
    if not _does_without_git(folder) and not any(
            (each / ".git").exists() for each in (folder, *folder.parents)):
        raise UserError(f"{folder}: lies in no git repository, and DVC wants one; run `git init` "
                        "and `git add -A` there, or let DVC do without: `dvc config --local "
                        "core.no_scm true`")


def _does_without_git(folder: Path) -> bool:
    """Whether DVC has been told to."""
    config = configparser.ConfigParser(strict=False, interpolation=None)
    with suppress(configparser.Error, UnicodeDecodeError):
        config.read([folder / ".dvc/config", folder / ".dvc/config.local"], encoding="utf-8")
    return config.get("core", "no_scm", fallback="").strip("\"' ").lower() == "true"


def check_index(folder: Path = Path("."), patience: float = 3) -> None:
    """Raise UserError where git's index stays locked, as a `dvc` or git that was killed leaves it:
    no command that puts something into it goes on.

    Args:
        folder: of a study. patience: seconds that one which is at work may take.
    """
    if _does_without_git(folder):
        return
    try:
        found = subprocess.run(["git", "rev-parse", "--git-path", "index.lock"], cwd=folder,
                               capture_output=True, text=True, check=False)
    except FileNotFoundError:  # there is no git
        return
    lock, until = folder / found.stdout.rstrip("\n"), time.monotonic() + patience
    while found.returncode == 0 and lock.exists():
        if time.monotonic() > until:
            raise UserError(f"{lock}: git's index is locked; where no git or dvc is at work here, "
                            "one that was killed has left this: delete it, and run the same "
                            "command again")
        time.sleep(0.1)


def mend_list(folder: Path = Path(".")) -> str:
    """Delete DVC's list of the files that it is at work on, where DVC was stopped in writing it:
    no command of DVC goes on with half of one. Without one DVC begins a new one.

    Args:
        folder: of a study.

    Returns:
        What was done, in a line; "" where there was nothing to do.
    """
    file = folder / _AT_WORK
    if not file.is_file():
        return ""
    try:
        json.loads(file.read_bytes())
    except ValueError:
        file.unlink(missing_ok=True)
        return f"{file}: was half written, deleted; DVC begins a new one"
    return ""


def mend_links(folder: Path = Path(".")) -> list[str]:
    """Take away links to the user's own that lead nowhere, or to a folder in which one does: no
    command of DVC looks past one. The stage plan, which makes them, then says what was there for.

    Args:
        folder: of a study.

    Returns:
        What was done, a line for each link.
    """
    done = []
    for link in sorted((folder / places.WATCHED).rglob("*")):
        if link.is_symlink() and (lost := _lost(link)) is not None:
            own = Path(os.path.normpath(link.parent / os.readlink(link)), lost)
            link.unlink()
            what = ("is gone; put it back, or let params.yaml name another" if lost == Path() else
                    "leads nowhere; put back what it leads to, or delete it")
            done.append(f"{own}: {what}, and run `dvc repro` (the link {link} is taken away)")
    return done


def _lost(link: Path) -> Path | None:
    """What leads nowhere: a link itself (.), or what is in the folder that it leads to."""
    if _leads_nowhere(link):
        return Path()
    for folder, folders, names in os.walk(link):
        for path in (Path(folder, name) for name in (*folders, *names)):
            if path.is_symlink() and _leads_nowhere(path):
                return path.relative_to(link)
    return None


def _leads_nowhere(link: Path) -> bool:
    try:
        link.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # it may not be looked at, or the machine that has it does not answer
        return False
    return False


def is_whole(content: bytes) -> bool:
    """Whether DVC could read a dvc.lock: each stage has its command, each dependency and output a
    path and a digest."""
    try:
        stages = yaml.load(content, getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"]
        return all(stage["cmd"] and all(
            entry["path"] and ("md5" in entry or "etag" in entry)
            for kind in ("deps", "outs") for entry in stage.get(kind, []))
            for stage in stages.values())
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False


def _aside(lock: Path) -> Path:
    place = re.sub(r"\W+", "-", str(lock.resolve().parent)).strip("-")[-100:]
    return environment.scratch() / "locks" / f"{place}.lock"


def _earlier(lock: Path, aside: Path) -> Iterator[tuple[str, bytes]]:
    if aside.is_file():
        yield "of the scratch folder", aside.read_bytes()
    for what, name in (("", "of git's index"), ("HEAD", "of the last commit")):
        try:
            found = subprocess.run(["git", "show", f"{what}:./{lock.name}"], cwd=lock.parent,
                                   capture_output=True, check=False)
        except FileNotFoundError:  # there is no git
            return
        if found.returncode == 0:
            yield name, found.stdout


def mend_outputs(folder: Path, cache: Path) -> list[str]:
    """Delete outputs that are not what dvc.lock says; they then come back from the cache, or are
    made anew. Only below the folder of what is made: nothing of the user's own.

    Args:
        folder: of a study. cache: as of `mend_cache`, which is done before.

    Returns:
        Those files.
    """
    stages = files.read_yaml(folder / LOCK)["stages"] if (folder / LOCK).exists() else {}
    expected = {}
    for out in (out for stage in stages.values() for out in stage.get("outs", [])):
        path = PurePosixPath(out["path"])
        if path.parts[0] != places.MADE.name or path.is_relative_to(places.WATCHED.as_posix()):
            continue
        digest = str(out.get("md5", ""))
        if not digest.endswith(".dir"):
            expected[path] = digest
            continue
        listed = cache / "files/md5" / digest[:2] / digest[2:]
        if listed.exists():  # else nobody knows what the folder had
            expected |= {path / each["relpath"]: each["md5"]
                         for each in json.loads(listed.read_bytes())}
    wrong = [folder / path for path, digest in sorted(expected.items())
             if (folder / path).is_file() and files.file_digest(folder / path, "md5") != digest]
    for file in wrong:
        file.unlink()
    return [str(file) for file in wrong]


def mend_cache(cache: Path) -> dict[str, str]:
    """Move what in a cache of DVC's is not what its name says into damaged/ of it; it is then made
    anew, or fetched. Nothing is deleted: what `dvc add` has put there may be the only copy.

    Args:
        cache: its folder, as `dvc cache dir` says.

    Returns:
        {each of those files: where it is now}
    """
    wrong = {}
    for file in sorted((cache / "files/md5").glob("??/*")):
        name = f"{file.parent.name}/{file.name}"
        if _IN_CACHE.fullmatch(name) and files.file_digest(file, "md5") != (
                name.replace("/", "").removesuffix(".dir")):
            os.chmod(file.parent, 0o755)
            aside = _free(cache / DAMAGED / name.replace("/", ""))
            aside.parent.mkdir(exist_ok=True)
            file.rename(aside)
            wrong[str(file)] = str(aside)
    return wrong


def _free(path: Path) -> Path:
    """It, or where something lies there already, the first of it with a number behind."""
    free, number = path, 1
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
