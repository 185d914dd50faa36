"""What all steps share: where they write, what they may use, and how long they have."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Setting:
    """Of one call of benchmarks/gpu.py.

    Attributes:
        results: folder for what is to be kept. Each step has one file of measurements there,
            NAME.json, and perhaps one more.
        work: folder for all else; a later call that is given it again goes on where this one ended.
        inputs: folder of parts (inputs.py), or with data/ and weights/ themselves.
        site: folder of packages that are not installed here; None: all are.
        rehearse: everything at a tiny scale, on a CPU too.
        end: of the time, by time.monotonic.
        machine: what is measured, in words.
    """

    results: Path
    work: Path
    inputs: Path
    site: Path | None = None
    rehearse: bool = False
    end: float = float("inf")
    machine: dict[str, str] = field(default_factory=dict)

    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    def write(self, step: str, content: dict) -> None:
        """NAME.json of a step, whole: what it has found so far."""
        write_json(self.results / f"{step}.json", {"machine": self.machine} | content)

    def environment(self, **more: str) -> dict[str, str]:
        """For a process of its own."""
        paths = [str(ROOT / "src"), *([str(self.site)] if self.site else [])]
        if existing := os.environ.get("PYTHONPATH"):
            paths.append(existing)
        threads = {"OMP_NUM_THREADS": "1"} if self.rehearse else {}
        return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1",
                             "UNFREEZE_SCRATCH": str(self.work / "scratch")} | threads | more


def write_json(path: Path, content: object) -> None:
    """Whole, or as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    os.replace(temporary, path)


def machine() -> dict[str, str]:
    """The card and the versions that decide the numbers."""
    import platform

    import torch
    import torchvision

    facts = {"device": platform.processor() or platform.machine(),
             "python": platform.python_version(), "torch": torch.__version__,
             "torchvision": torchvision.__version__}
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        facts |= {"device": properties.name, "memory": f"{properties.total_memory / 1e9:.0f} GB",
                  "cuda": str(torch.version.cuda),
                  "cudnn": str(torch.backends.cudnn.version()), "driver": _driver()}
    else:
        from unfreeze.training import devices

        facts["device"] = devices.pick().name
    return facts


def _driver() -> str:
    try:
        said = subprocess.run(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20)
        return said.stdout.strip().splitlines()[0]
    except (OSError, subprocess.TimeoutExpired, IndexError):
        return "unknown"


def processors() -> int:
    return len(os.sched_getaffinity(0))


def python(*arguments: object) -> list[str]:
    return [sys.executable, *map(str, arguments)]
