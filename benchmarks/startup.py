"""Start-up: seconds from the start of a stage to its first training step, and of the stages that
train nothing, beside what Python takes to import the libraries that they use.

The stages run on the default study, which must be there (`dvc repro`), in a folder of their own;
what they read is linked, what they write is thrown away. In turns, so that a drift of the machine
favours none.

Usage: python benchmarks/startup.py [--rounds 5] [--json PATH]
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from unfreeze import files, places  # noqa: E402
from unfreeze.errors import UserError  # noqa: E402
from unfreeze.stage import run_stage  # noqa: E402

# Ends the stage as it begins its first step.
FIRST_STEP = f"""
import os, runpy, sys
sys.path[:0] = [{str(ROOT / "stages")!r}, {str(ROOT / "src")!r}]
from unfreeze.training import loop  # noqa: E402
loop._passes = lambda *arguments: os._exit(0)
sys.argv = [{str(ROOT / "stages" / "train.py")!r}, "base"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
IMPORTS = "import torch, torchvision, torch._dynamo"  # torch's own optimizers import the third
# Between what every stage begins and ends with.
AS_A_STAGE = f"""
import sys
sys.path[:0] = [{str(ROOT / "stages")!r}, {str(ROOT / "src")!r}]
import _source
from unfreeze.stage import run_stage  # noqa: E402
{IMPORTS}
run_stage(lambda: None)
"""


def stage(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "stages" / f"{name}.py"), *arguments]


COMMANDS = {
    "python": [sys.executable, "-c", ""],
    "import torch, torchvision": [sys.executable, "-c", IMPORTS],
    "the same, as a stage does": [sys.executable, "-c", AS_A_STAGE],
    "train, to the first step": [sys.executable, "-c", FIRST_STEP],
    "plan": stage("plan"),
    "evaluate a run": stage("evaluate", "base"),
    "import numpy, scipy": [sys.executable, "-c", "import numpy, scipy.stats"],
    "summarize": stage("summarize"),
    "import matplotlib, pandas": [sys.executable, "-c", "import matplotlib.pyplot, pandas"],
    "plot": stage("plot"),
}
LINKED = (places.DATA, places.DECODED, places.WEIGHTS, places.SUBSETS, places.RECIPES)
COPIED = (Path("params.yaml"), places.PLAN, places.RUNS, places.COMPARED, places.METRICS,
          places.PLOTS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"load average before the start: {os.getloadavg()[0]:.1f} of {os.cpu_count()} processors")
    seconds = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory(prefix="unfreeze-startup-") as folder:
        study = Path(folder) / "study"
        study.mkdir()
        for name in LINKED + COPIED:
            if not (ROOT / name).exists():
                raise UserError(f"{ROOT / name}: is missing; run `dvc repro` first")
            (study / name).parent.mkdir(exist_ok=True)
            if name in LINKED:
                (study / name).symlink_to(ROOT / name)
            elif (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, study / name)
            else:
                shutil.copy(ROOT / name, study / name)
        for number in range(-1, options.rounds):  # the first brings the files into memory
            for name in list(COMMANDS)[::1 if number % 2 else -1]:
                environment = os.environ | {"UNFREEZE_SCRATCH": f"{folder}/{number}"}
                start = time.perf_counter()
                done = subprocess.run(COMMANDS[name], cwd=study, env=environment, text=True,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                took = time.perf_counter() - start
                if done.returncode:
                    raise UserError(f"{name} failed: {done.stderr.strip()}")
                if number >= 0:
                    seconds[name].append(took)
    for name, took in seconds.items():
        print(f"{name:30} {statistics.median(took):6.2f} s   ({min(took):.2f}..{max(took):.2f})")
    plain, ours = (seconds[name] for name in ("import torch, torchvision",
                                              "the same, as a stage does"))
    ratios = [one / other for one, other in zip(plain, ours, strict=True)]
    print(f"importing takes {statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f}) "
          "times as long without what a stage does")
    if options.json:
        files.write_json(options.json, seconds)


if __name__ == "__main__":
    run_stage(main)
