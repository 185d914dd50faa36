"""The members of a folder, a .zip or a .tar(.gz, .bz2, .xz), read one by one and never extracted;
and of what can be looked at as if it were one: a table of labels (table.py), and Parquet files with
images in them (parquet.py).

Nobody vouches for what users download, so: no member is found outside the folder or archive (no
`..`, no absolute path, no link but those of links.py), none is read beyond MAX_FILE, and an archive
that grows beyond `_limit` is refused.

Folders, zips and tables give names, whose content any process reads with `Reader`. A tar has no
index, and a compressed one no way back, so it gives names with contents, in one pass; so do Parquet
files.
"""

import bz2
import gzip
import lzma
import os
import re
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from unfreeze.data.photos import links, parquet, table
from unfreeze.data.photos.names import shown
from unfreeze.errors import UserError
from unfreeze.words import quantity

MAX_FILE = 1 << 28  # bytes of a member; larger ones are no photos
MAX_MEMBERS = 5_000_000
MAX_TOTAL = 1 << 40  # bytes of all members of an archive
MAX_RATIO = 100  # of all members to the archive; photos hardly shrink at all
_ALLOWANCE = 1 << 30  # bytes that any archive may hold: plain drawings do shrink well
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError,
            RuntimeError, NotImplementedError, ValueError)


@dataclass(frozen=True, slots=True)
class Member:
    """A file, or an empty mention of a folder.

    Attributes:
        name: posix path within the folder or archive.
        problem: why it is not read, else "".
        content: bytes, of a tar's file only.
        is_folder: whether it is one.
    """

    name: str
    problem: str = ""
    content: bytes | None = None
    is_folder: bool = False


def is_tar(path: Path) -> bool:
    """Whether its members come with their content.

    Raises:
        UserError: it is nothing that has members.
    """
    return _kind(path) in ("tar", "parquet")


def groups(path: Path) -> Mapping[str, str]:
    """{member: group that it belongs to}, of those that belong to one."""
    return table.read(path).groups if _kind(path) == "table" else {}


def members(path: Path, wanted: Callable[[str], bool] = lambda name: True) -> Iterator[Member]:
    """All files and folders for which `wanted(name)`, in no certain order.

    Raises:
        UserError: no such folder or archive; it is damaged; or it is one that does harm: a member
            with an absolute path or `..`, too many members, a bomb.
    """
    walk = {"folder": _folder, "zip": _zip, "tar": _tar, "table": _table,
            "parquet": _parquet}[_kind(path)]
    with _readable(path):
        for count, member in enumerate(walk(path, wanted)):
            if count >= MAX_MEMBERS:
                raise UserError(f"{shown(path)}: more than {MAX_MEMBERS:,} members")
            yield member


class Reader:
    """Reads members of a folder or a zip by name; keeps the zip's index from one to the next."""

    def __init__(self, path: Path) -> None:
        self.path, self.root = path, os.path.realpath(path)
        self.index = self.files = None
        kind = _kind(path)
        if kind == "table":
            listed = table.read(path)
            self.root, self.files = os.path.realpath(listed.root), listed.files
        if kind == "zip":
            with _readable(path):
                self.archive = zipfile.ZipFile(path)
                self.index = {_zip_name(info): info for info in self.archive.infolist()}

    def read(self, name: str) -> bytes:
        """The content of a member.

        Raises:
            UserError: there is no such member, it lies outside, is too large, or is damaged.
        """
        where = f"{shown(self.path)}: {shown(name)}"
        _check_name(self.path, name)
        try:
            if self.index is not None:
                if name not in self.index:
                    raise UserError(f"{where}: missing from the archive")
                info = self.index[name]
                if info.file_size > MAX_FILE:
                    raise UserError(f"{where}: {_too_large()}")
                return self.archive.read(info)
            if self.files is not None and name not in self.files:
                raise UserError(f"{where}: missing from the table")
            file = (Path(f"{self.path}/{name}") if self.files is None else
                    Path(self.root, self.files[name]))
            problem = _file_problem(file, self.root)
            if problem:
                raise UserError(f"{where}: {problem}")
            return file.read_bytes()
        except FileNotFoundError:
            raise UserError(f"{where}: no such file") from None
        except _DAMAGED as error:
            raise UserError(f"{where}: cannot be read ({error})") from None


def _kind(path: Path) -> str:
    if path.is_dir():
        return "parquet" if parquet.files_of(path) else "folder"
    if table.is_table(path) and table.file_of(path).is_file():
        return "table"
    if not path.exists():
        raise UserError(f"{shown(path)}: no such folder or archive")
    with _readable(path):
        if not path.is_file():
            raise UserError(f"{shown(path)}: neither a folder nor a file")
        with open(path, "rb") as file:
            start = file.read(512)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if start.startswith(parquet.MAGIC):
        return "parquet"
    if start[257:262] == b"ustar" or start.startswith(tuple(_OPENERS)):
        return "tar"
    raise UserError(f"{shown(path)}: neither a folder of images nor a .zip, .tar, .tar.gz, "
                    ".tar.bz2 or .tar.xz of one, a table of labels (.csv, .tsv) or a .parquet of "
                    "images")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"{shown(path)}: cannot be read, or is a damaged or truncated archive "
                        f"({reason})") from None


def _check_name(path: Path, name: str) -> None:
    inner = PurePosixPath(name)
    if inner.is_absolute() or ".." in inner.parts:
        raise UserError(f"{shown(path)}: the member {shown(name)} has an absolute path or `..` in "
                        "its name; such an archive is refused: make a new one of the folder "
                        "itself")


def _too_large() -> str:
    return f"larger than {MAX_FILE >> 20} MB, too large for a photo"


def _limit(path: Path) -> int:
    """Bytes that an archive's members may have together."""
    return min(MAX_TOTAL, _ALLOWANCE + MAX_RATIO * path.stat().st_size)


def _bomb(path: Path) -> UserError:
    return UserError(f"{shown(path)}: refused as an archive bomb: it holds more than "
                     f"{quantity(_limit(path), 'bytes')}, or a header that large, in "
                     f"{quantity(path.stat().st_size, 'bytes')}")


# --- Folders


def _folder(path: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    root = os.path.realpath(path)
    for file, is_folder in links.walk(str(path)):
        inner = Path(file).relative_to(path).as_posix()
        if wanted(inner):
            yield Member(inner, "" if is_folder else _file_problem(Path(file), root),
                         is_folder=is_folder)


def _file_problem(file: Path, root: str) -> str:
    """Why a file of the folder `root` (without links) must not be opened, or ""."""
    try:
        target = os.path.realpath(file, strict=True)
        status = os.stat(target)
    except FileNotFoundError:
        return "no such file, or a link that leads nowhere"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not target.startswith(os.path.join(root, "")) and not links.may_lead_to(target):
        return (f"a symbolic link that leads out of the folder, to {shown(target)}; if that is "
                "meant, name the folder that it leads into in UNFREEZE_LINKS")
    if stat.S_ISDIR(status.st_mode):
        return "a symbolic link to a folder, which is not followed"
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        return "no ordinary file"
    return _too_large() if status.st_size > MAX_FILE else ""


# --- Tables and Parquet files


def _table(path: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    listed = table.read(path)
    if listed.note:
        print(f"warning: {shown(path)}: {listed.note}", file=sys.stderr, flush=True)
    root = os.path.realpath(listed.root)
    for name, file in listed.files.items():
        if wanted(name):
            yield Member(name, _file_problem(Path(listed.root, file), root))
    for line, problem in listed.problems.items():
        if wanted(line):
            yield Member(line, problem)


def _parquet(path: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    for name, content, problem in parquet.images(path):
        if wanted(name):
            if content is not None and len(content) > MAX_FILE:
                problem, content = _too_large(), None
            yield Member(name, problem, content)


# --- Zips


def _zip(path: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    # Sizes as the index says; reading stops there, so it gains nothing by lying.
    if sum(info.file_size for info in infos) > _limit(path):
        raise _bomb(path)
    seen = set()
    for info in infos:
        name = _zip_name(info)
        _check_name(path, name)
        if not name or not wanted(name):
            continue
        mode = info.external_attr >> 16
        if name.endswith("/"):
            yield Member(name.rstrip("/"), is_folder=True)
        elif name in seen:
            yield Member(name, "twice in the archive")
        elif stat.S_ISLNK(mode):
            yield Member(name, "a link")
        elif info.flag_bits & 1:
            yield Member(name, "encrypted")
        elif info.file_size > MAX_FILE:
            yield Member(name, _too_large())
        else:
            yield Member(name)
        seen.add(name)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Many programs write UTF-8 names without the flag that says so, and some of Windows the
    backslashes of there."""
    name = info.filename
    if not info.flag_bits & 0x800 and not name.isascii():
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return re.sub(r"(^|(?<=/))(\./+)+", "", name.replace("\\", "/"))


# --- Tars

_OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}


class _Stream:
    """A tar's bytes, unpacked, with an eye on their number: tarfile believes every header."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file, self.limit = path, file, _limit(path)
        self.last = b""

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_FILE or self.file.tell() > self.limit:
            raise _bomb(self.path)
        self.last = self.file.read(size)
        return self.last

    def seek(self, position: int) -> int:
        if position > self.limit:
            raise _bomb(self.path)
        return self.file.seek(position)

    def tell(self) -> int:
        return self.file.tell()


@contextmanager
def _unpacked(path: Path) -> Iterator[BinaryIO]:
    with open(path, "rb") as packed:
        start = packed.read(6)
        packed.seek(0)
        for magic, opener in _OPENERS.items():
            if start.startswith(magic):
                with opener(packed) as unpacked:
                    yield unpacked
                return
        yield packed


def _tar(path: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    linked: dict[str, str] = {}  # {hard link: what it names}
    seen = set()
    for entry, archive in _entries(path):
        name = _tar_name(entry.name)
        if not name or not wanted(name):
            continue
        if entry.isdir():
            yield Member(name, is_folder=True)
        elif name in seen:
            yield Member(name, "twice in the archive")
        elif entry.islnk():
            linked[name] = _tar_name(entry.linkname)
        elif not entry.isreg() or entry.issparse():
            yield Member(name, "a link, or no ordinary file")
        elif entry.size > MAX_FILE:
            yield Member(name, _too_large())
        else:
            yield Member(name, content=archive.extractfile(entry).read())
        seen.add(name)
    if linked:
        yield from _linked(path, linked)


def _linked(path: Path, targets: dict[str, str]) -> Iterator[Member]:
    """Hard links in a tar: other names of files in it, in another pass over it.

    Args:
        targets: {hard link: what it names, which may be a hard link too}.
    """
    linked: dict[str, list[str]] = {}  # {file: hard links to it}
    for link, target in targets.items():
        for _ in targets:
            target = targets.get(target, target)
            if target not in targets:
                break
        linked.setdefault(target, []).append(link)
    total = 0
    for entry, archive in _entries(path):
        name = _tar_name(entry.name)
        if name in linked and entry.isreg() and not entry.issparse() and entry.size <= MAX_FILE:
            content = archive.extractfile(entry).read()
            for link in linked.pop(name):
                total += len(content)
                if total > _limit(path):
                    raise _bomb(path)
                yield Member(link, content=content)
    for name, names in linked.items():
        for link in names:
            yield Member(link, f"a hard link to {shown(name)}, which is no file in the archive")


def _tar_name(name: str) -> str:
    return "/".join(part for part in name.split("/") if part != ".")


def _entries(path: Path) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """Each entry, to be read before the next."""
    with _unpacked(path) as unpacked:
        stream = _Stream(path, unpacked)
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            while (entry := archive.next()) is not None:
                archive.members.clear()  # tarfile would keep them all
                _check_name(path, entry.name)
                yield entry, archive
        # tarfile takes a damaged header for the end; the end is a block of zeros, or nothing.
        if any(stream.last):
            raise tarfile.ReadError("damaged in the middle")
