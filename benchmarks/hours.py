"""How many hours the studies take on this device, at the settings of their params.yaml.

Each kind of work is timed once (unfreeze.timing); its rates, times the images of all runs, trials,
epochs and seeds, are the hours.

Usage: python benchmarks/hours.py [studies/layers ...] [--seconds 3]
"""

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from unfreeze import files  # noqa: E402
from unfreeze.errors import UserError  # noqa: E402
from unfreeze.params.settle import resolve  # noqa: E402
from unfreeze.stage import run_stage  # noqa: E402
from unfreeze.timing import speed  # noqa: E402
from unfreeze.timing.work import Work, seconds, works  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("studies", nargs="*", type=Path, help="folders; studies/* where none is")
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement, roughly")
    options = parser.parse_args()
    os.environ["UNFREEZE_PREFIX_GB"] = "0"  # an epoch of a few random images has nothing to spare
    folders = options.studies or sorted(path.parent for path in ROOT.glob("studies/*/params.yaml"))
    studies = {}
    for folder in folders:
        name = str(folder.resolve().relative_to(ROOT))
        try:
            studies[name] = read(folder)
        except UserError as error:
            print(f"{name} is left out: {error}\n")
    from unfreeze.training import devices

    device = devices.pick()
    print(f"{device.name}, {device.precision}\n\n{'images/s in training':>20}{'testing':>9}  runs",
          flush=True)
    kinds: dict[str, dict[str, list[str]]] = {}
    for study, some in studies.items():
        for work in some:
            kinds.setdefault(work.kind, {}).setdefault(study, []).append(work.run)
    speeds = {}
    for kind, runs in kinds.items():
        found = speeds[kind] = speed.measure(json.loads(kind), device, options.seconds)
        train, test = ("-" if rate is None else f"{rate:,.0f}"
                       for rate in (found.train, found.test))
        names = [f"{study}: {', '.join(dict.fromkeys(named))}" for study, named in runs.items()]
        print(f"{train:>20}{test:>9}  {'; '.join(names)}", flush=True)
    print(f"\n{'hours':>8}  study")
    by_study = {study: seconds(some, speeds) / 3600 for study, some in studies.items()}
    for study, number in (by_study | {"in all": sum(by_study.values())}).items():
        print(f"{number:8.2f}  {study}")


def read(folder: Path) -> list[Work]:
    """The work of a study's runs.

    Raises:
        UserError: its params.yaml cannot be used, or its images are not here.
    """
    with contextlib.chdir(folder):
        return list(works(resolve(files.read_yaml(Path("params.yaml")))))


if __name__ == "__main__":
    run_stage(main)
