"""Which photos a folder or archive holds, of which class and split, and what is wrong with them.

    [FOLDER/ ...] [train/ | test/ | val/] CLASS/ [... /] photo

Folders that everything lies in (a zip often has one) are passed over. There are splits when one of
the outermost folders is train/, by whatever usual name, and classes lie below it (folders.py).
Names that differ only in their Unicode form are one.

Every file is read whole once, here: its digest names the dataset, and only who decodes it knows
whether it is broken (`pixels.check`). So what is dropped is settled before anything depends on the
number of photos, and the digest does not depend on `skip_broken` unless there is something to skip.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count as numbers
from pathlib import Path

from tqdm import tqdm

from unfreeze import environment, files, pool, words
from unfreeze.data.photos import archive, pixels
from unfreeze.data.photos.folders import depths
from unfreeze.data.photos.names import (
    SPLITS,
    as_seen,
    is_utf8,
    is_visible,
    same_form,
    shown,
    split_of,
)
from unfreeze.errors import UserError

TEST_SHARE = 0.2
_TEST_SEED = 0
_IN_MESSAGE = 10
_CHUNK_FILES, _CHUNK_BYTES = 16, 1 << 22  # of a task, whichever is reached first


@dataclass(frozen=True, slots=True)
class Photo:
    """An image file, by what the folder says of it.

    Attributes:
        split: "train", "test" or "val".
        label: index into `Collection.classes`.
        member: posix path within the folder or archive.
        sha256: of the file; "" where nobody has read it.
        group: what it shares with others (a patient, an object), which must not be on another side
            of a split; "" for none.
    """

    split: str
    label: int
    member: str
    sha256: str
    group: str = ""


@dataclass(frozen=True)
class Collection:
    """The photos of a folder or archive.

    Attributes:
        classes: names of the class folders, sorted.
        photos: sorted by split (train, test, val), label and member.
        problems: "member: why" of what was skipped.
    """

    classes: tuple[str, ...]
    photos: tuple[Photo, ...]
    problems: tuple[str, ...]


def scan(path: Path, skip_broken: bool, workers: int | None = None) -> Collection:
    """Find, read and check all photos.

    Args:
        path: a folder, .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz, a table of labels, or Parquet
            files.
        skip_broken: whether to leave out files that are no sound images, with a warning.
        workers: processes; UNFREEZE_WORKERS if None.

    Returns:
        Photos of the splits that are there. All are listed in `.unfreeze/broken.txt` if some are
        skipped.

    Raises:
        UserError: a file cannot be used and skip_broken is false; there are not two classes; a
            class has too few images; train and test have different classes; the archive does harm.
    """
    examined, folders, problems = [], [], []
    for name, sha256, problem in examine(path, workers=workers, folders=folders):
        examined.append((name, sha256))
        if problem:
            problems.append((name, problem))
    if not examined:
        raise UserError(f"{shown(path)}: holds no images; wanted is a folder for each class, with "
                        "its images in it")
    if not folders and all("/" not in name for name, _ in examined):
        if len(problems) == len(examined):  # such as links to folders
            _report(path, tuple(f"{shown(name)}: {problem}" for name, problem in sorted(problems)),
                    skip_broken=False, some_left=False)
        raise UserError(f"{shown(path)}: its {words.count(len(examined), 'file')} "
                        f"{'lies' if len(examined) == 1 else 'lie'} in no folder of a class; "
                        "wanted is a folder for each class, with its images in it")
    broken = {name for name, _ in problems}
    nested = {tuple(same_form(name).split("/")[:-1]) for name, _ in examined} | {
        tuple(same_form(name).split("/")) for name in folders}
    depth, split_depth = depths(nested, path)
    has_splits = split_depth > depth
    photos = []
    for name, sha256 in examined:
        parts = same_form(name).split("/")
        if len(parts) < split_depth + 2:
            if name not in broken:
                problems.append((name, "lies in no class folder"))
        elif name not in broken:
            photos.append((split_of(parts[depth]) if has_splits else "train", parts[split_depth],
                           name, sha256))
    lines = tuple(f"{shown(name)}: {problem}" for name, problem in sorted(problems))
    _report(path, lines, skip_broken, bool(photos))
    classes = _classes(path, photos, {path[depth:] for path in nested}, split_depth - depth)
    labels = {name: label for label, name in enumerate(classes)}
    groups = archive.groups(path)
    photos = (Photo(split, labels[name], member, sha256, groups.get(member, ""))
              for split, name, member, sha256 in photos)
    return Collection(classes, tuple(sorted(photos, key=_order)), lines)


def examine(path: Path, wanted: Iterable[str] | None = None, workers: int | None = None,
            folders: list[str] | None = None) -> Iterator[tuple[str, str, str]]:
    """Read files to their end, in parallel and with a progress bar.

    Args:
        path: folder or archive.
        wanted: members; all but hidden ones if None.
        workers: processes; UNFREEZE_WORKERS if None.
        folders: takes the names of folders, which have no digest.

    Yields:
        (member, SHA-256 or "" if it could not be read, what is wrong with it or ""), in no certain
        order.

    Raises:
        UserError: the archive does harm, or is damaged.
    """
    accept = is_visible if wanted is None else frozenset(wanted).__contains__
    reader.cache_clear()  # the archive may be another by now
    unread = []

    def files_of(path: Path) -> Iterator[archive.Member]:
        for member in archive.members(path, accept):
            if member.is_folder:
                if folders is not None:
                    folders.append(member.name)
            elif member.problem or not is_utf8(member.name):
                unread.append((member.name, "", member.problem or "a name that is not UTF-8"))
            else:
                yield member

    tasks = ((path, chunk) for chunk in chunks(files_of(path)))
    with (tqdm(desc=f"checking {shown(path.name)}", unit=" images", disable=None) as bar,
          closing(pool.run(_examine, tasks, workers or environment.workers())) as results):
        for result in results:
            bar.update(len(result))
            yield from result
    yield from unread


def chunks(members: Iterable[archive.Member]) -> Iterator[list[archive.Member]]:
    """Tasks of some files each, bounded in number and in bytes that are on the way."""
    chunk, size = [], 0
    for member in members:
        chunk.append(member)
        size += len(member.content or b"")
        if len(chunk) == _CHUNK_FILES or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


@lru_cache(maxsize=1)
def reader(path: Path) -> archive.Reader:
    """Kept by a worker from one task to the next: a large zip takes seconds to open."""
    return archive.Reader(path)


def _examine(task: tuple[Path, list[archive.Member]]) -> list[tuple[str, str, str]]:
    path, chunk = task
    results = []
    for member in chunk:
        try:
            content = reader(path).read(member.name) if member.content is None else member.content
        except UserError as error:
            results.append((member.name, "", str(error).removeprefix(
                f"{shown(path)}: {shown(member.name)}: ")))
            continue
        results.append((member.name, hashlib.sha256(content).hexdigest(), pixels.check(content)))
    return results


def _report(path: Path, problems: tuple[str, ...], skip_broken: bool, some_left: bool) -> None:
    list_file = environment.scratch() / "broken.txt"
    if not problems:
        list_file.unlink(missing_ok=True)
        return
    files.write_text(list_file, "".join(f"{line}\n" for line in problems))
    count = words.count(len(problems), "file")
    if skip_broken:
        print(f"warning: {shown(path)}: skipped {count} that cannot be used; all are listed in "
              f"{list_file}", flush=True)
        return
    more = f"; and {len(problems) - _IN_MESSAGE} more" if len(problems) > _IN_MESSAGE else ""
    raise UserError(f"{shown(path)}: {count} cannot be used: "
                    f"{'; '.join(problems[:_IN_MESSAGE])}{more}. "
                    f"All are listed in {list_file}; " + (
                        "mend or remove them, or set skip_broken: true to go on without them"
                        if some_left else "nothing is left without them"))


def _classes(path: Path, photos: list[tuple[str, str, str, str]],
             folders: set[tuple[str, ...]], split_depth: int) -> tuple[str, ...]:
    """Checks that there are images of every class; `folders` are paths below the common one, and
    classes lie below so many of splits."""
    counts = Counter((split, name) for split, name, _, _ in photos)
    splits = [split for split in SPLITS if any(known == split for known, _ in counts)]
    if split_depth:
        splits = [split for split in SPLITS
                  if split in splits or any(split_of(path[0]) == split for path in folders if path)]
    classes = tuple(sorted({path[split_depth] for path in folders if len(path) > split_depth}))
    for one, other in alike(classes, as_seen):
        raise UserError(f"{shown(path)}: the classes {ascii(one)} and {ascii(other)} look the "
                        "same; put them together, or name one otherwise")
    if len(classes) < 2:
        raise UserError(f"{shown(path)}: has {len(classes)} class"
                        f"{f' ({shown(classes[0])})' if classes else 'es'}; at least two are "
                        "needed, a folder for each")
    # Photos of val/ join train/ where there is a test/, so not every class needs one there.
    needed = {"train": 1, "test": 1} if "test" in splits else (
        {"train": 1, "val": 1} if "val" in splits else {"train": 2})
    for split, least in needed.items():
        short = [shown(name) for name in classes if counts[split, name] < least]
        if short:
            where = f"{split}/ " if split_depth else ""
            which = ", ".join(short[:_IN_MESSAGE]) + (", ..." if len(short) > _IN_MESSAGE else "")
            raise UserError(
                f"{shown(path)}: {where}has fewer than {words.count(least, 'usable image')} of "
                f"{len(short)} of the {len(classes)} classes "
                f"({which}); " + ("one to train on and one to test on are needed, and 3 "
                    "photos where settings are searched" if least > 1
                                  else "train and test need the same classes"))
    return classes


def alike(names: Iterable[str], form: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """Pairs of different names that have the same form."""
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(form(name), name)
        if other != name:
            yield other, name


def _order(photo: Photo) -> tuple:
    return SPLITS.index(photo.split), photo.label, photo.member


def settle_splits(collection: Collection) -> tuple[Collection, str]:
    """Only "train" and "test", whatever the folder has, and a line for the log that says how.

    val/ joins train/ where there is a test/, and is the test split where there is none. Without
    both, a fifth of every class becomes test images, at least one and never all: those that come
    first by a hash of their content, so the choice depends neither on names nor on a run's seed,
    and hardly changes when images are added. A group stays together.

    Raises:
        UserError: a group is in several splits, or a class would be in one of them alone.
    """
    there = {photo.split for photo in collection.photos}
    if "val" in there:
        target = "train" if "test" in there else "test"
        note = ("val/ joins the training images" if target == "train" else
                "there is no test/: the images of val/ are the test images")
        photos = [replace(photo, split=target) if photo.split == "val" else photo
                  for photo in collection.photos]
    elif "test" in there:
        note, photos = "train/ and test/ as they are", list(collection.photos)
    else:
        note = (f"there is no test/: {TEST_SHARE:.0%} of each class, chosen by a hash of their "
                "content, are the test images")
        grouped = any(photo.group for photo in collection.photos)
        photos = (_split_groups if grouped else _split_classes)(collection)
        if grouped:
            note = (f"there is no test/: groups with about {TEST_SHARE:.0%} of each class, chosen "
                    "by a hash of their content, are the test images")
    _check_groups(photos)
    return replace(collection, photos=tuple(sorted(photos, key=_order))), note


def _split_classes(collection: Collection) -> list[Photo]:
    by_class = [[] for _ in collection.classes]
    for photo in collection.photos:
        by_class[photo.label].append(photo)
    photos = []
    for members in by_class:
        members.sort(key=lambda photo: (_rank(photo), photo.member))
        count = _tested(len(members))
        photos += [replace(photo, split="test") for photo in members[:count]]
        photos += members[count:]
    return photos


def _tested(images: int) -> int:
    """How many of the images of a class become test images."""
    return min(max(1, round(TEST_SHARE * images)), images - 1)


def _split_groups(collection: Collection) -> list[Photo]:
    """Whole groups become test images, in the order of their hashes, where at least half of a
    group is wanted, or where a class had none without it."""
    photos = sorted(collection.photos, key=lambda photo: (_rank(photo), photo.member))
    groups: dict[str, list[Photo]] = {}  # in the order of their first photos
    for photo in photos:
        groups.setdefault(photo.group or f"\0{photo.member}", []).append(photo)
    left = Counter(photo.label for photo in photos)  # to train on
    wanted = {label: _tested(count) for label, count in left.items()}
    taken: set[str] = set()

    def take(enough: Callable[[Counter, int], bool]) -> None:
        for name, members in groups.items():
            counts = Counter(photo.label for photo in members)
            useful = sum(min(count, max(0, wanted[label])) for label, count in counts.items())
            if (name not in taken and enough(counts, useful)
                    and all(left[label] > count for label, count in counts.items())):
                taken.add(name)
                left.subtract(counts)
                for label, count in counts.items():
                    wanted[label] -= count

    before = dict(wanted)
    take(lambda counts, useful: 2 * useful >= sum(counts.values()))
    take(lambda counts, useful: any(wanted[label] == before[label] for label in counts))
    missing = [collection.classes[label] for label in before if wanted[label] == before[label]]
    if missing:
        raise UserError(f"all images of {', '.join(map(shown, sorted(missing)))} belong to one "
                        "group, or to groups that other classes need to be trained on; groups stay "
                        "together, so two groups of each class are needed: one to train on and one "
                        "to test on")
    return [replace(photo, split="test") if name in taken else photo
            for name, members in groups.items() for photo in members]


def _check_groups(photos: Iterable[Photo]) -> None:
    """Raise where a group is on both sides."""
    split_of_group: dict[str, str] = {}
    both = sorted({photo.group for photo in photos if photo.group
                   and split_of_group.setdefault(photo.group, photo.split) != photo.split})
    if both:
        raise UserError(f"{words.count(len(both), 'group')} "
                        f"{'is' if len(both) == 1 else 'are'} among the training and the test "
                        f"images, such as {', '.join(map(shown, both[:3]))}: a model would be "
                        "tested on what it knows; move each to one side, or leave the split out, "
                        "and it is made by groups")


def _rank(photo: Photo) -> bytes:
    return hashlib.sha256(f"{_TEST_SEED} {photo.sha256}".encode()).digest()


def digest(collection: Collection) -> str:
    """SHA-256 over split, class, name and content of all photos: the dataset's identity. The same
    whatever the order of files, their times, and the kind and name of what they lie in."""
    paths = [same_form(photo.member).split("/") for photo in collection.photos]
    depth = 0
    while (len({tuple(path[:-1][:depth + 1]) for path in paths}) == 1
           and len(paths[0]) - 1 > depth):
        depth += 1
    rows = sorted((photo.split, collection.classes[photo.label], path[depth:], photo.sha256)
                  for photo, path in zip(collection.photos, paths, strict=True))
    total = hashlib.sha256()
    rows += sorted((photo.group, photo.split, photo.sha256) for photo in collection.photos
                   if photo.group)
    for row in rows:
        total.update(json.dumps(row).encode() + b"\n")
    return total.hexdigest()


def below_classes(collection: Collection) -> list[str]:
    """Folders within those of the classes that photos lie in, such as "cat/2019", sorted."""
    paths = [(same_form(photo.member).split("/")[:-1], collection.classes[photo.label])
             for photo in collection.photos]
    at = next(depth for depth in numbers()  # the same for all
              if all(folders[depth:depth + 1] == [name] for folders, name in paths))
    return sorted({"/".join(folders[at:]) for folders, _ in paths if len(folders) > at + 1})


def duplicates(collection: Collection) -> list[tuple[Photo, Photo]]:
    """(training photo, test photo) of the same bytes: one pair for each such test photo."""
    train = _first(collection, lambda photo: photo.split == "train")
    return [(train[photo.sha256], photo) for photo in collection.photos
            if photo.split == "test" and photo.sha256 in train]


def repeated(collection: Collection) -> list[tuple[Photo, Photo]]:
    """(training photo, later training photo) of the same bytes and class: what is held out of the
    training images for validation may be trained on."""
    train = _first(collection, lambda photo: photo.split == "train")
    return [(train[photo.sha256], photo) for photo in collection.photos
            if photo.split == "train" and photo.sha256 in train
            and train[photo.sha256] is not photo and train[photo.sha256].label == photo.label]


def contradictory(collection: Collection) -> list[tuple[Photo, Photo]]:
    """(photo, later photo of another class) of the same bytes, of whatever split."""
    first = _first(collection, lambda photo: True)
    return [(first[photo.sha256], photo) for photo in collection.photos
            if photo.sha256 in first and first[photo.sha256].label != photo.label]


def _first(collection: Collection, wanted: Callable[[Photo], bool]) -> dict[str, Photo]:
    """{SHA-256: the first such photo}, of those that somebody has read."""
    found: dict[str, Photo] = {}
    for photo in collection.photos:
        if photo.sha256 and wanted(photo):
            found.setdefault(photo.sha256, photo)
    return found
