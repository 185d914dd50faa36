"""params.yaml -> _made/plan/, what the pipeline is going to do; _made/compared/pairs.yaml, which
runs are compared layer by layer."""

import sys
from pathlib import Path

import _source  # noqa: F401
import _utf8  # noqa: F401
from unfreeze import files
from unfreeze.errors import UserError
from unfreeze.params import plan, settle, watched
from unfreeze.stage import run_stage


def main() -> None:
    params = Path("params.yaml")
    if not params.is_file():
        raise UserError("params.yaml: no such file here; `git checkout params.yaml` restores it")
    settled = settle.resolve(files.read_yaml(params))
    plan.write(settled)
    watched.write(settled)
    for line in settled.warnings:
        print(f"warning: params.yaml: {line}", file=sys.stderr, flush=True)
    print(f"{len(settled.runs)} runs: {', '.join(settled.runs)}")


if __name__ == "__main__":
    run_stage(main)
