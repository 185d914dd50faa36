"""Tables of labels (.csv, .tsv), as competitions and laboratories hand them out: a line for each
image, with its file, its label, perhaps its split, and perhaps the group that it belongs to (a
patient, an object), which must not be on both sides of a split.

To the rest of this package a table is an archive: its members are called SPLIT/LABEL/FILE, or
LABEL/FILE, whatever the files are called in the folder that the table lies in.

Columns go by usual names; others are named behind the table's:

    labels.csv#path=picture,label=diagnosis,group=patient,split=
"""

import codecs
import csv
import io
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from unfreeze.data.photos.names import is_visible, same_form, shown, split_of
from unfreeze.errors import UserError
from unfreeze.words import count

# {what a column holds: what it is usually called, the likelier first}
USUAL = {
    "path": ("path", "file", "filepath", "filename", "imagepath", "image", "imagename", "imagefile",
             "img", "imgpath", "photo", "picture", "imageid", "id", "name"),
    "label": ("label", "class", "category", "target", "labels", "classname", "labelname", "species",
              "breed", "diagnosis", "dx", "tag", "y"),
    "split": ("split", "set", "subset", "partition", "usage"),
    "group": ("group", "groupid", "patient", "patientid", "subject", "subjectid", "individual",
              "individualid", "object", "objectid", "lesionid"),
}
_SUFFIXES = (".csv", ".tsv")
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".jfif")
_SHOWN = 3


@dataclass(frozen=True)
class Table:
    """A table as read.

    Attributes:
        root: the folder that it lies in.
        files: {member: file, from the root}. groups: {member: its group}, of those with one.
        problems: {line, in words: what is wrong with it}.
        note: what else should be known, on one line; "" for nothing.
    """

    root: Path
    files: Mapping[str, str]
    groups: Mapping[str, str]
    problems: Mapping[str, str]
    note: str


@dataclass(frozen=True)
class _Row:
    line: int
    file: str
    label: str
    split: str = ""
    group: str = ""


def is_table(path: str | Path) -> bool:
    return file_of(path).suffix.lower() in _SUFFIXES


def file_of(path: str | Path) -> Path:
    """The path without the columns that are named behind it."""
    return Path(re.sub(r"(\.[ct]sv)#.*$", r"\1", str(path), flags=re.IGNORECASE))


def read(path: Path) -> Table:
    """A table, and where its files are.

    Raises:
        UserError: it cannot be read, or its columns cannot be told.
    """
    file = file_of(path)
    lines = _lines(file)
    columns = _columns(path, file, lines)
    table = _Finder(file.parent)
    rows: dict[str, _Row] = {}
    problems: dict[str, str] = {}
    twice = 0
    for number, line in enumerate(lines[1:], start=2):
        values = {kind: _value(line, place) for kind, place in columns.items()}
        where = f"line {number} ({values['path'] or 'no file'})".replace("/", "\N{DIVISION SLASH}")
        problem = "" if values["label"] else "no label"
        found = table.find(values["path"]) if values["path"] else "no file"
        if isinstance(found, str):
            problem = problem or found
        elif not problem:
            known = rows.get(found[0])
            row = _Row(number, found[0], values["label"], values.get("split", ""),
                       values.get("group", ""))
            if known is None:
                rows[row.file] = row
            elif (same_form(known.label), known.split, known.group) == (
                    same_form(row.label), row.split, row.group):
                twice += 1
            else:
                problem = f"says otherwise than line {known.line} of the same file"
        if problem:
            problems[where] = problem
    if not rows and not problems:
        raise UserError(f"{shown(file)}: has no line below its columns")
    members = _members(file, list(rows.values()))
    return Table(file.parent, {name: row.file for name, row in members.items()},
                 {name: row.group for name, row in members.items() if row.group}, problems,
                 _note(table.without_row(set(rows)), twice))


def _lines(file: Path) -> list[list[str]]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"{shown(file)}: cannot be read ({error.strerror})") from None
    try:
        utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # PowerShell, Excel
        text = content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
                 if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise UserError(f"{shown(file)}: is no table ({error})") from None
    if not lines:
        raise UserError(f"{shown(file)}: is empty")
    return lines


def _columns(path: Path, file: Path, lines: Sequence[Sequence[str]]) -> dict[str, int]:
    """{what a column holds: its place}; path and label for certain.

    Raises:
        UserError: they cannot be told, or one that is named is not there.
    """
    header = [cell.strip() for cell in lines[0]]
    listed = ", ".join(map(shown, header))
    named = _named(path, file)
    found: dict[str, int] = {}
    for kind, name in named.items():
        if name and name not in header:
            raise UserError(f"{shown(file)}: has no column {shown(name)}; it has {listed}")
        if name:
            found[kind] = header.index(name)
    plain = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in header]
    for kind, usual in USUAL.items():
        free = {plain[place]: place for place in reversed(range(len(header)))
                if place not in found.values()}
        if kind not in named:
            place = next((free[name] for name in usual if name in free), None)
            if place is not None:
                found[kind] = place
    for kind, other in (("label", "path"), ("path", "label")):
        if kind not in found and other in found and len(header) == 2:
            found[kind] = 1 - found[other]
    for kind, what in (("path", "the file"), ("label", "the label")):
        if kind not in found:
            raise UserError(f"{shown(file)}: which column holds {what}? It has {listed}; name it: "
                            f"dataset: {shown(file)}#{kind}=COLUMN")
    return found


def _named(path: Path, file: Path) -> dict[str, str]:
    text = str(path)[len(str(file)):].removeprefix("#")
    named = {}
    for part in filter(None, text.split(",")):
        kind, equals, name = part.partition("=")
        if kind not in USUAL or not equals:
            raise UserError(f"{shown(path)}: {shown(part)} names no column; allowed behind # are "
                            f"{', '.join(f'{kind}=COLUMN' for kind in USUAL)}, with , between")
        named[kind] = name
    return named


def _value(line: Sequence[str], place: int) -> str:
    return line[place].strip() if place < len(line) else ""


class _Finder:
    """Finds files below a folder by what a table calls them: their path, the end of it, or their
    name without what says of what kind they are."""

    def __init__(self, root: Path) -> None:
        self.root, self._all = root, None

    def find(self, name: str) -> tuple[str] | str:
        """(the file, from the folder), or why there is none."""
        name = name.replace("\\", "/")
        if os.path.isabs(name):
            name = os.path.relpath(name, os.path.abspath(self.root))
        name = os.path.normpath(name)
        if name.startswith(".."):
            return "lies outside of the folder of the table"
        if os.path.isfile(os.path.join(self.root, name)):
            return (name,)
        by_end = self._by_name()
        found = [file for file in by_end.get(PurePosixPath(name).name, ())
                 if file.endswith(f"/{name}")]
        found = found or [file for file in by_end.get(f"{PurePosixPath(name).name}.*", ())
                          if f"/{os.path.splitext(file)[0]}".endswith(f"/{name}")]
        if len(found) > 1:
            return f"may be {shown(found[0])} or {shown(found[1])}; name the folder too"
        return (found[0],) if found else "no such file"

    def _by_name(self) -> Mapping[str, list[str]]:
        """{name of a file, and without its kind as NAME.*: the files}; looked for only where a path
        is not that of a file."""
        if self._all is None:
            self._all = defaultdict(list)
            for folder, below, names in os.walk(self.root):
                below[:] = sorted(name for name in below if is_visible(name))
                for name in sorted(names):
                    stem, kind = os.path.splitext(name)
                    if kind.lower() in _IMAGES:
                        file = Path(folder, name).relative_to(self.root).as_posix()
                        self._all[name].append(file)
                        self._all[f"{stem}.*"].append(file)
        return self._all

    def without_row(self, listed: set[str]) -> list[str]:
        """Images in the folders of those that are listed, which are not."""
        folders = {os.path.dirname(file) for file in listed}
        there = (os.path.join(folder, name) for folder in sorted(folders)
                 for name in sorted(os.listdir(self.root / folder)))
        return [file for file in there if file not in listed and is_visible(file)
                and file.lower().endswith(_IMAGES)]


def _members(file: Path, rows: Sequence[_Row]) -> dict[str, _Row]:
    """{SPLIT/LABEL/FILE: the row}: FILE is the name where no two are alike, else the whole path
    with -- for each slash."""
    splits = _splits(file, rows)
    folders = _folders(file, rows)
    alike = Counter(os.path.basename(row.file) for row in rows)
    made: dict[str, _Row] = {}
    for row in rows:
        name = os.path.basename(row.file)
        if alike[name] > 1:
            name = row.file.replace("/", "--")
        name = name if is_visible(name) else f"_{name}"  # what is listed is meant
        parts = [splits[row.split], folders[row.label], name]
        member = "/".join(filter(None, parts))
        while member in made:
            member += "-"
        made[member] = row
    return made


def _splits(file: Path, rows: Sequence[_Row]) -> dict[str, str]:
    """{split as written: train, test or val}."""
    written = sorted({row.split for row in rows})
    if written == [""]:
        return {"": ""}
    splits = {name: split_of(name) for name in written}
    wrong = [name or "nothing" for name, split in splits.items() if not split]
    if wrong:
        raise UserError(f"{shown(file)}: its column of splits says {shown(wrong[0])}; allowed are "
                        "train, test and val, or usual names of them. To leave the column out: "
                        f"dataset: {shown(file)}#split=")
    return splits


def _folders(file: Path, rows: Sequence[_Row]) -> dict[str, str]:
    """{label: name of a folder}: labels may be anything."""
    folders = {}
    for label in sorted({same_form(row.label) for row in rows}):
        name = label.replace("/", "-")
        folders[label] = name if is_visible(name) else f"_{name}"
    if len(set(folders.values())) < len(folders):
        alike = [label for label in folders if list(folders.values()).count(folders[label]) > 1]
        raise UserError(f"{shown(file)}: the labels {shown(alike[0])} and {shown(alike[1])} cannot "
                        "be told apart as names of classes; name one otherwise")
    return {row.label: folders[same_form(row.label)] for row in rows}


def _note(unlisted: Sequence[str], twice: int) -> str:
    found = []
    if unlisted:
        found.append(f"{count(len(unlisted), 'image')} beside those listed "
                     f"{'has' if len(unlisted) == 1 else 'have'} no line and "
                     f"{'is' if len(unlisted) == 1 else 'are'} left out, such as "
                     f"{', '.join(map(shown, unlisted[:_SHOWN]))}")
    if twice:
        found.append(f"{count(twice, 'line')} {'is' if twice == 1 else 'are'} there twice")
    return "; ".join(found)


def stats(path: Path) -> Iterator[str]:
    """The files that a table is about, itself first."""
    table = read(path)
    yield str(file_of(path))
    yield from (str(table.root / file) for file in table.files.values())
    yield from (f"{where}: {problem}" for where, problem in table.problems.items())
