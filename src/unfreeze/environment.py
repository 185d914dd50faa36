"""What the machine decides, read from the environment in this one place.

Nothing here may change what a run means; that is what params.yaml is for. The precision is the
exception that hardware forces on us: bf16 where the GPU has it.

docs/environment.md has each variable with its default and meaning.
"""

import os
import re
from pathlib import Path

from unfreeze.errors import UserError

_RAY_PORT = 10001  # of Ray's server for clients, unless it was told another


def device_name() -> str:
    name = os.environ.get("UNFREEZE_DEVICE") or "auto"
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise UserError(f"UNFREEZE_DEVICE={name}: allowed are auto, cpu, cuda, cuda:N")
    return name


def precision() -> str:
    name = os.environ.get("UNFREEZE_PRECISION") or "auto"
    if name not in ("auto", "bf16", "fp32", "tf32"):
        raise UserError(f"UNFREEZE_PRECISION={name}: allowed are auto, bf16, fp32, tf32")
    return name


def instructions() -> str:
    """What a processor is to compute with. Done by instructions.py, which has no way to complain:
    it comes before all else."""
    name = os.environ.get("UNFREEZE_INSTRUCTIONS") or "avx2"
    if name not in ("avx2", "native"):
        raise UserError(f"UNFREEZE_INSTRUCTIONS={name}: allowed are avx2, native")
    return name


def processes() -> int:
    """How many processes train a run together."""
    return _whole("UNFREEZE_PROCESSES", 1)


def slots() -> int | None:
    """How many replicates are trained at the same time; None: as the machine allows."""
    return None if os.environ.get("UNFREEZE_SLOTS") in (None, "", "auto") else _whole(
        "UNFREEZE_SLOTS", 1, "auto or ")


def engine() -> str:
    """What trains ahead: "pool", "ray" on this machine, or the address of a Ray cluster."""
    name, address = os.environ.get("UNFREEZE_ENGINE") or "auto", os.environ.get("RAY_ADDRESS")
    if name not in ("auto", "pool", "ray") and not re.fullmatch(
            r"ray://([\w.-]+|\[[\da-fA-F:.]+\])(:\d{1,5})?", name):
        raise UserError(f"UNFREEZE_ENGINE={name}: allowed are auto, pool, ray, ray://HOST:PORT")
    if name.startswith("ray://"):
        return name if re.search(r":\d+$", name) else f"{name}:{_RAY_PORT}"
    if name == "pool" or name == "auto" and not address:
        return "pool"
    return "ray" if address in (None, "", "local") else address


def cluster() -> bool:
    """Whether machines train ahead that may be of another kind than this one."""
    return engine() not in ("pool", "ray")


def engine_is_named() -> bool:
    """Whether UNFREEZE_ENGINE says which: then no other takes its place."""
    return os.environ.get("UNFREEZE_ENGINE") not in (None, "", "auto")


def per_gpu() -> int:
    """Replicates that share a GPU."""
    return _whole("UNFREEZE_PER_GPU", 1)


def compiled() -> str:
    """Whether models are compiled: off, on or auto."""
    name = os.environ.get("UNFREEZE_COMPILE") or "off"
    if name not in ("off", "on", "auto"):
        raise UserError(f"UNFREEZE_COMPILE={name}: allowed are off, on, auto")
    return name


def mirror() -> Path | None:
    """The folder of UNFREEZE_MIRROR, or None."""
    name = os.environ.get("UNFREEZE_MIRROR")
    if not name:
        return None
    if not Path(name).is_dir():
        raise UserError(f"UNFREEZE_MIRROR={name}: no such folder; unset it, or make the folder")
    return Path(name)


def hub() -> str:
    """The address of the Hugging Face hub, or of a mirror of it, without a slash at the end."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def hub_token() -> str:
    """What says to the hub who asks, for what it does not give to everybody; "" for nobody."""
    return os.environ.get("HF_TOKEN", "")


def link_folders() -> list[str]:
    """The folders of UNFREEZE_LINKS."""
    return [folder for folder in os.environ.get("UNFREEZE_LINKS", "").split(os.pathsep) if folder]


def scratch() -> Path:
    """A git-ignored folder that may be deleted at any time at no cost but time."""
    here = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("UNFREEZE_SCRATCH") or here / ".unfreeze")


def scratch_limit() -> int:
    """Bytes."""
    return _gigabytes("UNFREEZE_SCRATCH_GB", 10)


def prefix_limit() -> int:
    """Bytes."""
    return _gigabytes("UNFREEZE_PREFIX_GB", 10)


def resized_limit(memory: int) -> int:
    """Bytes, for a device with that many."""
    return _gigabytes("UNFREEZE_RESIZED_GB", memory / 4 / 1e9)


def workers() -> int:
    """Processes that check or decode photos at the same time."""
    return _whole("UNFREEZE_WORKERS", len(os.sched_getaffinity(0)))


def _whole(name: str, default: int, other: str = "") -> int:
    text = os.environ.get(name) or str(default)
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise UserError(f"{name}={text}: allowed is {other}a whole number, 1 or more")
    return int(text)


def _gigabytes(name: str, default: float) -> int:
    text = os.environ.get(name) or str(default)
    try:
        size = float(text)
    except ValueError:
        size = -1
    if not 0 <= size < float("inf"):
        raise UserError(f"{name}={text}: allowed is a number of gigabytes, 0 or more")
    return int(size * 1e9)
