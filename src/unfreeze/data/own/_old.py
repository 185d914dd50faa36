"""Datasets by what `dataset:` says: a name of the catalogue, a folder or an archive of the user's
own, or the address of an archive.

What depends on it: config.py (facts), the stages fetch-data and decode.
"""

import hashlib
import json
import os
import re
from collections import Counter
from dataclasses import astuple, dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from unfreeze import environment, files
from unfreeze.data import catalogue, photos
from unfreeze.errors import UserError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
_KEPT_SCANS = 20


@dataclass(frozen=True)
class Facts:
    """What is known of a dataset before anything is fetched.

    Attributes:
        name: of its folder in data/.
        entry: what the stages need to know to fetch it: {"kind": "arrays" or "photos"}, and of
            one's own images {"place" or "url", "digest" of `photos.digest` (not with a url),
            "skip_broken"}.
        classes, train, test: how many; None when it is to be fetched first.
        smallest: training images of the smallest class, or a number that it cannot exceed.
        mean, std: of the training images, per RGB channel, in 0..1; None: found when decoding.
    """

    name: str
    entry: dict
    classes: int | None = None
    train: int | None = None
    test: int | None = None
    smallest: int | None = None
    mean: tuple | None = None
    std: tuple | None = None


def facts_of(dataset: str, skip_broken: bool) -> Facts:
    """The facts of what the knob `dataset` names. Folders and archives are read.

    Raises:
        UserError: there is no such dataset, or the images cannot be used.
    """
    if not is_own(dataset):
        known = catalogue.dataset(dataset)
        return Facts(dataset, {"kind": known.KIND}, known.COUNT, known.TRAIN, known.TEST,
                     known.TRAIN // known.COUNT, known.MEAN, known.STD)
    own = {"kind": "photos", "skip_broken": skip_broken}
    if _is_url(dataset):
        try:
            file = PurePosixPath(unquote(urlsplit(dataset).path)).name
        except ValueError as error:
            raise UserError(f"{dataset!r} is no address ({error}); allowed: such as "
                            "https://example.org/photos.zip") from None
        if not file.lower().endswith(SUFFIXES):
            raise UserError(f"{dataset!r} is no address of an archive; allowed: "
                            f"{', '.join(SUFFIXES)}")
        text = dataset + skip_broken * " skip_broken"  # what is in there is not known yet
        return Facts(_name(file, hashlib.sha256(text.encode()).hexdigest()), own | {"url": dataset})
    place = Path(dataset)
    check_tracked(place)
    if not os.access(place, os.R_OK):
        raise UserError(f"{dataset!r} is no folder or archive that can be read here; allowed: a "
                        "folder of images with a sub-folder a class, an archive of such a folder "
                        f"({', '.join(SUFFIXES)}), its address, or a dataset of the catalogue")
    found, _, digest = settled(place, skip_broken)
    counts = Counter((photo.split, photo.label) for photo in found.photos)
    train, test = ([counts[split, label] for label in range(len(found.classes))]
                   for split in ("train", "test"))
    return Facts(_name(place.resolve().name, digest),
                 own | {"place": str(place), "digest": digest}, len(found.classes),
                 sum(train), sum(test), min(train))


def is_own(dataset: str) -> bool:
    """Whether a dataset is meant to be the user's and not of the catalogue."""
    if dataset in catalogue.names():
        return False
    return (_is_url(dataset) or "/" in dataset or dataset.lower().endswith(SUFFIXES)
            or (dataset != "" and (os.path.exists(dataset) or os.path.exists(f"{dataset}.dvc"))))


def _is_url(dataset: str) -> bool:
    return re.match(r"https?://", dataset) is not None


def place(entry: dict, folder: Path) -> Path:
    """Where images of the user's own lie.

    Args:
        entry: of `Facts`. folder: data/NAME, where an archive from an address is kept.
    """
    return Path(entry["place"]) if "place" in entry else folder / _archive_name(entry["url"])


def _archive_name(url: str) -> str:
    file = PurePosixPath(unquote(urlsplit(url).path)).name.lower()
    return "archive" + max((suffix for suffix in SUFFIXES if file.endswith(suffix)), key=len)


def download_path(url: str) -> Path:
    """Where an archive lies while it comes; another address is another file."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    return environment.scratch() / "downloads" / f"{digest}-{_archive_name(url)}"


def changed(place: Path) -> UserError:
    """The error for images that are not those that plan saw."""
    return UserError(f"{place}: has changed since params.yaml was read; run `dvc repro -f plan`, "
                     "which notes what is there now, and then `dvc repro`")


def _name(file: str, digest: str) -> str:
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if file.lower().endswith(suffix):
            file = file[:-len(suffix)]
            break
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", file).strip("-")[:40]
    return f"own-{plain or 'images'}-{digest[:12]}"


def settled(place: Path, skip_broken: bool) -> tuple[photos.Collection, str, str]:
    """The photos of a folder or an archive in two splits, train and test; how that came about; and
    the digest of them as they lie there.

    Raises:
        UserError: of `photos.scan`.
    """
    found = _scan(place, skip_broken)
    return *photos.settle_splits(found), photos.digest(found)


def _scan(place: Path, skip_broken: bool) -> photos.Collection:
    """`photos.scan`, remembered in the scratch folder: it reads every file, and params.yaml
    changes more often than the images do. Any file's other name, size or time is another scan."""
    total = hashlib.sha256()
    for source in sorted(Path(photos.__file__).parent.glob("*.py")):
        total.update(source.read_bytes())
    total.update(json.dumps([str(place.resolve()), skip_broken, sorted(_stats(place))]).encode())
    folder = environment.scratch() / "scans"
    kept = folder / f"{total.hexdigest()}.json"
    try:
        content = files.read_json(kept)
        found = photos.Collection(tuple(content["classes"]),
                                  tuple(photos.Photo(*photo) for photo in content["photos"]),
                                  tuple(content["problems"]))
        if found.problems:
            print(f"warning: {place}: skips {len(found.problems)} files that cannot be used, such "
                  f"as {found.problems[0]}", flush=True)
        return found
    except (OSError, ValueError, TypeError, KeyError):
        pass
    found = photos.scan(place, skip_broken)
    files.write_text(kept, json.dumps({
        "classes": found.classes, "photos": list(map(astuple, found.photos)),
        "problems": found.problems}))
    for path in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-_KEPT_SCANS]:
        path.unlink(missing_ok=True)
    return found


def _stats(place: Path) -> list[tuple]:
    if not place.is_dir():
        return [("", *_stat(place))]
    # Links to folders count as files, which the scan refuses: what they lead to may have no end.
    return [(os.path.relpath(path, place), *_stat(path))
            for root, folders, names in os.walk(place)
            for path in (os.path.join(root, name) for name in [*names, *folders])
            if os.path.islink(path) or not os.path.isdir(path)]


def _stat(path: str | Path) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:  # a link to nowhere: the scan will say so
        return -1, -1
    return found.st_size, found.st_mtime_ns


def _note(place: Path) -> Path:
    """Where DVC notes what it tracks."""
    return place.parent / f"{place.name}.dvc"


def check_tracked(place: Path) -> None:
    """Is what DVC tracks (path.dvc beside path) as it was when it was added?

    Raises:
        UserError: it has changed, or is not there.
    """
    tracked = _note(place)
    if not tracked.is_file():
        return
    content = files.read_yaml(tracked)
    try:
        (out,) = (out for out in content["outs"] if out["path"] == place.name)
        expected = str(out["md5"])
    except (TypeError, KeyError, ValueError):
        raise UserError(f"{tracked}: names no MD5 of {place.name}; add it again: "
                        f"`dvc add {place}`") from None
    if not place.exists():
        raise UserError(f"{place}: is tracked by {tracked} and not here; `dvc pull {tracked}` (or "
                        "`dvc checkout`) brings it")
    found = _dvc_digest(place)
    if found != expected:
        raise UserError(f"{place}: has changed since DVC noted it: MD5 expected {expected} (in "
                        f"{tracked}), found {found}; `dvc checkout {tracked}` restores it, `dvc "
                        f"add {place}` takes the change over")


def _dvc_digest(place: Path) -> str:
    """The MD5 by which DVC 3 knows a file or a folder: of a folder, that of the list of its files'
    paths and MD5s, and ".dir"."""
    if not place.is_dir():
        return files.file_digest(place, "md5")
    listed = sorted(
        ({"md5": files.file_digest(path, "md5"), "relpath": path.relative_to(place).as_posix()}
         for path in place.rglob("*") if path.is_file()), key=lambda entry: entry["relpath"])
    return hashlib.md5(json.dumps(listed, sort_keys=True).encode(),
                       usedforsecurity=False).hexdigest() + ".dir"
