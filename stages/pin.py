"""_made/, src/ -> _made/pinned/RUN.yaml: everything that determines a run, or each of a search's
candidates."""

import sys
from pathlib import Path

import _source  # noqa: F401
import _utf8  # noqa: F401
from unfreeze import files, pinning, places
from unfreeze.choosing import leftovers, pinned
from unfreeze.params import plan
from unfreeze.stage import run_stage

STAGES = Path(__file__).resolve().parent


def main() -> None:
    planned = plan.read()
    runs = pinning.runs(planned, STAGES / "train.py", STAGES.parent / "src")
    if warning := pinning.over_budget(planned, runs):
        print(f"warning: params.yaml: {warning}", file=sys.stderr, flush=True)
    with files.whole_folder(places.PINNED) as folder:
        for name, run in runs.items():
            pinned.write(folder / f"{name}.yaml", run)
    leftovers.remove(runs)
    print(f"{len(runs)} runs, {sum(len(run.candidates) for run in runs.values())} candidates")


if __name__ == "__main__":
    run_stage(main)
