"""Replicates one after another beside several at the same time: a study from the stage pin to the
stage summarize, by `dvc repro` with UNFREEZE_SLOTS=1 and with more, and what of it is overhead.

Each way has a clone at HEAD of its own, with nothing trained and an empty scratch folder; datasets
and weights are copied from this project where they are there. They take turns, and the order is
turned round every time. Both must come to the same bytes in metrics/.

Usage: python benchmarks/many_runs.py [--slots 2] [--rounds 3] [--default-study] [--json PATH]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from unfreeze import files, places  # noqa: E402
from unfreeze.params.settle import resolve  # noqa: E402
from unfreeze.stage import run_stage  # noqa: E402
from unfreeze.timing import speed, work  # noqa: E402
from unfreeze.training.finished import Finished  # noqa: E402

DVC = [sys.executable, "-m", "dvc"]
# Of the default study's params.yaml: 16 replicates of a few seconds each.
SMALL = {
    "fraction": 0.004, "test_fraction": 0.02, "epochs": 2, "seeds": [1, 2],
    "search": {"lr": [0.0003, 0.001]}, "claims": [], "compare": {},
    "runs": {"base": {}, "last_only": {"freeze": "last_only", "epochs": 4},
             "bias": {"tune": "bias"}, "lora": {"tune": "lora"}}}


@dataclass(frozen=True)
class Took:
    """What a study took.

    Attributes:
        seconds: on the clock, from pin to summarize.
        training, inference: seconds of processor time of all its replicates; the second from the
            number of images and the speed at which they go through the model here.
        replicates: of runs and of their searches.
        slots: at most at the same time.
    """

    seconds: float
    training: float
    inference: float
    replicates: int
    slots: int

    @property
    def rest(self) -> float:
        """The share of the slots' time in which none of them trained or inferred."""
        return 1 - (self.training + self.inference) / (self.seconds * self.slots)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--default-study", action="store_true",
                        help="as params.yaml has it: a quarter of an hour a round, on two cores")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"load average before the start: {os.getloadavg()[0]:.1f} of {os.cpu_count()} processors",
          flush=True)
    params = files.read_yaml(ROOT / "params.yaml") | ({} if options.default_study else SMALL)
    ways = {"one after another": 1, f"{options.slots} slots": options.slots}
    took: dict[str, list[Took]] = {way: [] for way in ways}
    images_a_second = _inference(params)
    for number in range(options.rounds):
        metrics = {}
        for way in list(ways)[::1 if number % 2 == 0 else -1]:
            with tempfile.TemporaryDirectory(prefix="unfreeze-many-runs-") as folder:
                took[way].append(_study(Path(folder), params, ways[way], images_a_second))
                metrics[way] = _contents(Path(folder) / "project" / places.METRICS)
            print(f"{way}: {_line(took[way][-1])}", flush=True)
        one, other = metrics.values()
        if one != other:
            sys.exit("error: metrics/ is not the same both ways")
    print(_table(took))
    if options.json:
        files.write_json(options.json, {way: [asdict(each) | {"rest": each.rest} for each in rounds]
                                        for way, rounds in took.items()})


def _study(folder: Path, params: dict, slots: int, images_a_second: float) -> Took:
    """Reproduce a study in an empty folder."""
    project, scratch = folder / "project", folder / "scratch"
    environment = os.environ | {
        "UNFREEZE_SLOTS": str(slots), "UNFREEZE_SCRATCH": str(scratch), "UNFREEZE_ENGINE": "pool",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("RAY_ADDRESS", None)
    _run(["git", "clone", "--quiet", str(ROOT), str(project)], folder, environment)
    # DVC's notes on files (its state) too belong to the temporary folder.
    _run([*DVC, "config", "--local", "core.site_cache_dir", str(folder / "site")], project,
         environment)
    for place in (places.DATA, places.WEIGHTS):
        if (ROOT / place).is_dir():
            shutil.copytree(ROOT / place, project / place)
    files.write_yaml(project / "params.yaml", params)
    (project / "dvc.lock").unlink(missing_ok=True)
    _run([*DVC, "repro", "pin"], project, environment)
    start = time.perf_counter()
    _run([*DVC, "repro", "summarize"], project, environment)
    seconds = time.perf_counter() - start
    done = [Finished.from_bytes(file.read_bytes()[:-32])  # without its digest
            for file in (scratch / "replicates").glob("*.done")]
    inferred = sum(len(each.validation_labels) * _times_validated(each) + len(each.logits)
                   for each in done)
    return Took(seconds, sum(each.cost.seconds for each in done), inferred / images_a_second,
                len(done), slots)


def _times_validated(finished: Finished) -> int:
    return sum(row["validation_loss"] is not None for row in finished.history)


def _inference(params: dict) -> float:
    """Images per second that go through the first run's model, asked and not trained."""
    from unfreeze.training import devices

    first = next(work.works(resolve(params)))
    return speed.measure(json.loads(first.kind), devices.pick(), seconds=5).test


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes()
            for file in sorted(folder.rglob("*")) if file.is_file()}


def _line(took: Took) -> str:
    return (f"{took.seconds:.1f} s for {took.replicates} replicates: training "
            f"{took.training:.1f} s and inference {took.inference:.1f} s of processor time, "
            f"{100 * took.rest:.0f} % of the slots' time is neither")


def _table(took: dict[str, list[Took]]) -> str:
    lines = [f"{'':18} {'s':>7} {'min..max':>16} {'neither trains nor infers':>27}"]
    for way, rounds in took.items():
        seconds = [each.seconds for each in rounds]
        lines.append(f"{way:18} {statistics.median(seconds):7.1f} "
                     f"{f'{min(seconds):.1f}..{max(seconds):.1f}':>16} "
                     f"{100 * statistics.median(each.rest for each in rounds):25.0f} %")
    one, other = took.values()
    ratios = [a.seconds / b.seconds for a, b in zip(one, other, strict=True)]
    lines.append(f"times faster: {statistics.median(ratios):.2f} ({min(ratios):.2f}.."
                 f"{max(ratios):.2f}), median over {len(ratios)} rounds; metrics/ are the same "
                 "bytes both ways")
    return "\n".join(lines)


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run a command, or end with its output shown."""
    done = subprocess.run(command, cwd=folder, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"{done.stdout}\nerror: {' '.join(command)} failed")


if __name__ == "__main__":
    run_stage(main)
