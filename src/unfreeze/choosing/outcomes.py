"""What trials came to, kept in the scratch folder beside the replicates that they are, so that a
choice among finished trials needs no torch.

    replicates/DIGEST-MACHINE.trial.npz    an `Outcome`
"""

import hashlib
import io
import os
import platform
import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np

from unfreeze import environment, files
from unfreeze.choosing.scores import Outcome
from unfreeze.recipe import Recipe, replicate_digest


def read(recipe: Recipe, seed: int) -> Outcome | None:
    """What a trial came to here; None where that is not known without asking training."""
    try:
        with np.load(_path(recipe, seed), allow_pickle=False) as content:
            arrays = {each.name: content[each.name] for each in fields(Outcome)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return Outcome(arrays["logits"], arrays["labels"], int(arrays["kept_epoch"]),
                   float(arrays["seconds"]))


def write(recipe: Recipe, seed: int, outcome: Outcome) -> None:
    content = io.BytesIO()
    np.savez(content, **{each.name: getattr(outcome, each.name) for each in fields(Outcome)})
    files.write_bytes(_path(recipe, seed), content.getvalue())


def _path(recipe: Recipe, seed: int) -> Path:
    digest = replicate_digest(recipe, seed)
    return environment.scratch() / "replicates" / f"{digest}-{_machine()}.trial.npz"


def _machine() -> str:
    """What decides in which arithmetic a replicate is trained here, as far as it can be seen
    without torch. Where it is another one, training is asked, which keeps what it finished by what
    it found the arithmetic to be."""
    settings = [f"{name}={os.environ.get(name, '')}" for name in (
        "UNFREEZE_DEVICE", "UNFREEZE_PRECISION", "UNFREEZE_PROCESSES", "UNFREEZE_COMPILE",
        "WORLD_SIZE", "CUDA_VISIBLE_DEVICES")]
    hardware = [platform.machine(), platform.processor(), _processor(),
                *sorted(path.name for path in Path("/proc/driver/nvidia/gpus").glob("*"))]
    return hashlib.sha256("\n".join(settings + hardware).encode()).hexdigest()[:12]


def _processor() -> str:
    """The first processor's model and abilities, where the system lists them."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace").partition("\n\n")[0]
    except OSError:
        return ""
    return "\n".join(line for line in text.splitlines()
                     if line.startswith(("model name", "flags", "Features", "CPU")))
