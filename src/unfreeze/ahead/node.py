"""On a node of a cluster: what a replicate reads is found or fetched, and the replicate trained.

    assets/DIGEST      in the node's scratch folder: what was fetched, whole
    assets/DIGEST.part pieces of it that have arrived
    assets/DIGEST.lock held by who reads or fetches it; it stays
    studies/KEY/       links to it, as a study's folder has it
    logs/              of what is trained
"""

import fcntl
import hashlib
import os
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

from unfreeze import environment, files
from unfreeze.ahead import attempt
from unfreeze.ahead.assets import PIECE, Asset
from unfreeze.data.reading import checked
from unfreeze.errors import NO_ROOM, UserError
from unfreeze.training import checkpoint

Pieces = Sequence[tuple[str, Any]]  # (SHA-256 of a piece, what `fetch` makes its bytes of)


def problem(software: Mapping[str, str]) -> str:
    """Why nothing can be trained by this process, in a line; "": it can.

    Args:
        software: {library: version} that recipes name.
    """
    for name, version in software.items():
        try:
            here = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            here = "none"
        if here != version:
            return (f"the recipes were made with {name} {version}, and {here} is installed there; "
                    "install requirements-extras.lock there (`make env-all`)")
    from unfreeze.ahead import training  # noqa: F401  # which imports torch, once
    from unfreeze.training import devices

    if environment.device_name() == "cuda" and not devices.torch.cuda.is_available():
        return ("Ray counts a GPU there that torch does not see; install its driver there, or "
                "start Ray there with --num-gpus=0")
    try:
        devices.pick()
    except UserError as error:
        return str(error)
    return ""


def train(task: bytes, assets: Sequence[Asset], parts: Mapping[str, Pieces], study: str,
          shared: bool) -> dict:
    """Train a replicate into the node's scratch folder, or find it there.

    Args:
        task: pickled. assets: pickled, what it reads.
        parts: {digest: pieces} of what can be fetched.
        study: the driver's folder, which may be seen from here.
        shared: whether the scratch folder is the driver's.

    Returns:
        "lacks": [digest of what is neither here nor can be fetched], or
        "problem": why this node is of no use now, or
        "outcome": an `attempt.Outcome`, pickled, with "log": its text, and of what was trained
        "name": of its file in the scratch folder, and "content": its bytes, None where that folder
        is the driver's.
    """
    import ray

    task, assets = pickle.loads(task), pickle.loads(assets)
    with ExitStack() as held:
        try:
            folder = held.enter_context(at_hand(assets, parts, Path(study), ray.get))
        except Lacking as error:
            return {"lacks": error.digests}
        except OSError as error:
            if error.errno not in NO_ROOM:
                return {"problem": f"{error.strerror} ({error.filename})"}
            return {"problem": _no_room()}
        os.chdir(folder)
        log = task.log if folder == Path(study) else environment.scratch() / "logs" / task.log.name
        outcome = attempt.train(task, log)
    answer = {"outcome": pickle.dumps(outcome), "log": log.read_text(encoding="utf-8")}
    if outcome.no_room:
        return {"problem": _no_room()}
    if not outcome.fault:
        from unfreeze.training import devices

        file = checkpoint.Scratch(task.identity, devices.pick().arithmetic).done
        answer |= {"name": file.name, "content": None if shared else file.read_bytes()}
    return answer


def _no_room() -> str:
    return (f"no room left in {environment.scratch()}; make room there, or start Ray there with "
            "UNFREEZE_SCRATCH set to another folder")


class Lacking(Exception):
    """Something is neither here nor can be fetched.

    Args:
        digests: of it.
    """

    def __init__(self, digests: list[str]) -> None:
        super().__init__()
        self.digests = digests


@contextmanager
def at_hand(assets: Sequence[Asset], parts: Mapping[str, Pieces], study: Path,
            fetch: Callable[[Any], bytes]) -> Iterator[Path]:
    """The study's folder if all can be read there, or one that has links to all, which no other
    process takes away meanwhile.

    Args:
        parts: {digest: pieces} of what can be fetched. fetch: gives the bytes of one.

    Raises:
        Lacking: something can be neither seen nor fetched.
        OSError: as of writing it.
    """
    seen = [asset for asset in assets if _is(asset, study / asset.path)]
    if len(seen) == len(assets):
        yield study
        return
    store = environment.scratch() / "assets"
    store.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        # First what is here, or room would be made by it for what is not.
        missing = [asset for asset in assets if asset not in seen
                   and not _hold(asset, store, held)]
        lacking = [asset.digest for asset in missing if asset.digest not in parts]
        if lacking:
            raise Lacking(lacking)
        for asset in missing:
            while not _hold(asset, store, held):
                take(asset, parts[asset.digest], store, fetch)
        key = repr(sorted((str(asset.path), asset.digest) for asset in assets)).encode()
        folder = environment.scratch() / "studies" / hashlib.sha256(key).hexdigest()[:32]
        for asset in assets:
            _link(folder / asset.path,
                  study / asset.path if asset in seen else store / asset.digest)
        yield folder


def _hold(asset: Asset, store: Path, held: ExitStack) -> bool:
    """Whether an asset is here; it then stays until `held` is closed. Waits while it is fetched."""
    lock = _lock(store, asset.digest)
    fcntl.flock(lock, fcntl.LOCK_SH)
    try:
        os.utime(store / asset.digest)  # it is in use, and so not the oldest
    except OSError:
        lock.close()
        return False
    held.enter_context(lock)
    return True


def _lock(store: Path, digest: str) -> BinaryIO:
    """What who reads an asset locks together with others, and who writes or deletes it alone."""
    return open(store / f"{digest}.lock", "ab+")


@contextmanager
def _alone(store: Path, digest: str) -> Iterator[bool]:
    """Whether nobody else reads, fetches or deletes an asset now; nobody does until the end."""
    with _lock(store, digest) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def take(asset: Asset, pieces: Pieces, store: Path, fetch: Callable[[Any], bytes]) -> None:
    """Fetch an asset, whole or not at all, but for the pieces that have arrived before; unless
    another process of this node is at it.

    Raises:
        OSError: as of writing it; or it did not arrive as it was sent.
    """
    with _alone(store, asset.digest) as alone:
        if not alone:
            time.sleep(0.1)
        elif not (store / asset.digest).exists():
            _make_room(asset, store)
            _fetch(asset, pieces, store, fetch)


def _make_room(asset: Asset, store: Path) -> None:
    """Delete what was used longest ago until there is room for an asset within UNFREEZE_SCRATCH_GB;
    what a process of this node needs stays, whatever its size."""
    found = []
    for file in store.iterdir():
        if file.suffix != ".lock" and file.stem != asset.digest:
            with suppress(FileNotFoundError):
                status = file.stat()
                found.append((status.st_mtime, status.st_size, file))
    excess = asset.size + sum(size for _, size, _ in found) - environment.scratch_limit()
    for _, size, file in sorted(found):
        if excess <= 0:
            break
        with _alone(store, file.stem) as alone:
            if alone:
                file.unlink(missing_ok=True)
                excess -= size


def _fetch(asset: Asset, pieces: Pieces, store: Path, fetch: Callable[[Any], bytes]) -> None:
    whole, part = store / asset.digest, store / f"{asset.digest}.part"
    total = hashlib.sha256()
    with open(part, "a+b") as file:
        file.seek(0)
        arrived = 0
        for digest, _ in pieces:
            before = file.read(PIECE)
            if hashlib.sha256(before).hexdigest() != digest:
                break
            total.update(before)
            arrived += 1
        file.truncate(arrived * PIECE if arrived < len(pieces) else asset.size)
        for digest, piece in pieces[arrived:]:
            content = fetch(piece)
            if hashlib.sha256(content).hexdigest() != digest:
                raise OSError(0, "did not arrive as it was sent", str(asset.path))
            file.write(content)
            file.flush()
            total.update(content)
        os.fsync(file.fileno())
    if total.hexdigest() != asset.digest:
        part.unlink()
        raise OSError(0, "changed while it was sent; run the same command again",
                      str(asset.path))
    os.replace(part, whole)


def _is(asset: Asset, path: Path) -> bool:
    """Whether a file that is seen from here is that asset."""
    try:
        return (path.stat().st_size == asset.size and os.access(path, os.R_OK) and checked.once(
            [path], asset.digest, lambda: files.file_digest(path) == asset.digest))
    except (OSError, UserError):
        return False


def _link(link: Path, to: Path) -> None:
    if link.is_symlink() and link.readlink() == to:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    temporary = files.unfinished(link)
    temporary.symlink_to(to)
    os.replace(temporary, link)
