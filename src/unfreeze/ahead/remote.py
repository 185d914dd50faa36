"""What runs on another machine before this project's code is there.

This module travels by value, in a language that every Python speaks: it imports nothing but the
standard library and what is on each Ray node, until `begin` has unpacked the code.
"""

import fcntl
import hashlib
import io
import os
import stat
import sys
import tempfile
import zipfile
from pathlib import Path


class Worker:
    """A process of a Ray node that trains one replicate after another.

    Args:
        code: this project's code, as a zip archive. digest: its SHA-256.
        study: absolute path of the study's folder where the driver runs.
        scratch: the driver's scratch folder. token: what its file folder.id says.
        variables: of the environment, which decide the last bits of what is trained.
        software: {library: version} that recipes name.
    """

    def __init__(self, code: bytes, digest: str, study: str, scratch: str, token: str,
                 variables: dict, software: dict) -> None:
        self._code, self._digest, self._study = code, digest, study
        self._scratch, self._token = scratch, token
        self._variables, self._software = variables, software

    def where(self) -> tuple:
        """The id of the node, and its name for people."""
        import ray
        from ray.util import get_node_ip_address

        return ray.get_runtime_context().get_node_id(), get_node_ip_address()

    def begin(self) -> str:
        """Unpack the code and import torch; why nothing can be trained here, in a line, "" where it
        can."""
        try:
            return self._begin()
        except OSError as error:
            where = error.filename or os.environ.get("UNFREEZE_SCRATCH", "")
            return (f"{error.strerror} ({where}); make room, or start Ray there with "
                    "UNFREEZE_SCRATCH set to a folder that can be written")
        except ImportError as error:
            return f"{error}; install requirements-extras.lock there (`make env-all`)"
        except Exception as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())}"

    def train(self, task: bytes, assets: list, parts: dict) -> dict:
        """As of `node.train`, in this process."""
        from unfreeze.ahead import node

        return node.train(task, assets, parts, self._study, self._shared)

    def _begin(self) -> str:
        if hashlib.sha256(self._code).hexdigest() != self._digest:
            return "the code did not arrive as it was sent"
        shared = self._is_drivers(self._scratch)
        own = os.path.join(tempfile.gettempdir(), f"unfreeze-{os.getuid()}")
        scratch = os.environ.get("UNFREEZE_SCRATCH") or (self._scratch if shared else own)
        if scratch == own:
            os.makedirs(own, 0o700, exist_ok=True)
            if os.lstat(own).st_uid != os.getuid():  # who could put other code there
                return f"{own} is not of the user that Ray runs as; set UNFREEZE_SCRATCH there"
        self._shared = self._is_drivers(scratch)
        os.environ.update(self._variables, UNFREEZE_SCRATCH=scratch)
        code = self._unpack(Path(scratch) / "code" / f"{self._digest}-{os.getuid()}")
        sys.path.insert(0, str(code / "src"))
        from unfreeze.ahead import node

        return node.problem(self._software)

    def _is_drivers(self, folder: str) -> bool:
        """Whether a folder that is seen from here is the driver's scratch folder."""
        try:
            return Path(folder, "folder.id").read_text() == self._token
        except OSError:
            return False

    def _unpack(self, folder: Path) -> Path:
        """Whole, and of nobody else; what is there already must be so too, or is unpacked again.
        Who could write there could have this process run other code."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (open(folder.with_suffix(".lock"), "w") as lock,
              zipfile.ZipFile(io.BytesIO(self._code)) as archive):
            fcntl.flock(lock, fcntl.LOCK_EX)  # one process of this node after the other
            if not _holds(folder, archive):
                with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
                    unpacked = Path(unfinished, "code")
                    unpacked.mkdir(0o700)
                    archive.extractall(unpacked)
                    if os.path.lexists(folder):
                        os.rename(folder, Path(unfinished, "other"))
                    os.rename(unpacked, folder)
        return folder


def _holds(folder: Path, archive: zipfile.ZipFile) -> bool:
    """Whether a folder is this user's alone, and holds the files of an archive and no others that
    are imported."""
    try:
        status = os.lstat(folder)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or (
                status.st_mode & 0o077):
            return False
        there = {path.relative_to(folder).as_posix() for path in folder.rglob("*")
                 if not path.is_dir() and "__pycache__" not in path.parts}
        return there == {*archive.namelist()} and all(
            (folder / name).read_bytes() == archive.read(name) for name in there)
    except OSError:
        return False
