"""plan/weights.yaml -> weights/NAME.safetensors, checked by digest. What is there stays."""

from pathlib import Path

import _source  # noqa: F401
from unfreeze import files, models
from unfreeze.data import sources
from unfreeze.errors import UserError, run_stage
from unfreeze.models import official, weights


def main() -> None:
    folder = Path("weights")
    folder.mkdir(exist_ok=True)
    for name, model in files.read_yaml(Path("plan/weights.yaml")).items():
        fetch(weights.path(folder, name), models.family(model).MODELS[model].weights)


def fetch(file: Path, facts) -> None:
    try:
        if weights.tensors_digest(weights.read_arrays(file)) == facts.digest:
            print(f"{facts.name}: already there, digest checked")
            return
    except UserError:
        pass  # missing or damaged: fetched below
    content = sources.obtain(facts.asset, lambda source: official.read(source, facts))
    files.write_bytes(file, content)


if __name__ == "__main__":
    run_stage(main)
