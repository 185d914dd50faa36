"""How many hours the studies take on this device, at the settings of their params.yaml.

Runs that differ in nothing that sets the speed (a learning rate, a seed, how many images) are timed
once: some epochs of the engine itself, on random images of the right size. Those rates, times the
images of all runs, epochs and seeds, are the hours. Not counted are fetching and decoding, scoring,
comparing and the reports; neither early stopping nor the prefix cache is foreseen.

Usage: python benchmarks/hours.py [studies/layers ...] [--seconds 3]
"""

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import numpy as np  # noqa: E402

from unfreeze import files  # noqa: E402
from unfreeze.data import own  # noqa: E402
from unfreeze.errors import UserError  # noqa: E402
from unfreeze.params import config  # noqa: E402
from unfreeze.stage import run_stage  # noqa: E402

FEW, MANY = 2, 16  # batches of a timed epoch: many, where they are quick


@dataclass(frozen=True)
class Work:
    """A phase of a run.

    Attributes:
        run: its name.
        kind: all that sets its speed, as JSON: equal for phases that are equally fast.
        trained: images that it trains on, over all epochs and seeds.
        tested: images that it validates and tests on.
    """

    run: str
    kind: str
    trained: int
    tested: int


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
    for study, works in studies.items():
        for work in works:
            kinds.setdefault(work.kind, {}).setdefault(study, []).append(work.run)
    rates = {}
    for kind, runs in kinds.items():
        rates[kind] = measure(json.loads(kind), device, options.seconds)
        train, test = ("-" if rate is None else f"{rate:,.0f}" for rate in rates[kind])
        names = [f"{study}: {', '.join(dict.fromkeys(own))}" for study, own in runs.items()]
        print(f"{train:>20}{test:>9}  {'; '.join(names)}", flush=True)
    print(f"\n{'hours':>8}  study")
    found = {study: hours(works, rates) for study, works in studies.items()}
    for study, each in (found | {"in all": sum(found.values())}).items():
        print(f"{each:8.2f}  {study}")


def read(folder: Path) -> list[Work]:
    """The work of a study's runs.

    Raises:
        UserError: its params.yaml cannot be used, or its images are not here.
    """
    with contextlib.chdir(folder):
        return list(works(config.resolve(files.read_yaml(Path("params.yaml")))))


def works(plan: config.Plan) -> Iterator[Work]:
    """The phases of all runs; validating and testing at the end belong to the last.

    Raises:
        UserError: images of an address, which are counted once they are fetched.
    """
    counts = {name: counted(name, entry) for name, entry in plan.datasets.items()}
    for name, run in plan.runs.items():
        train, test = counts[run["dataset"]]
        # As data.subsets draws them.
        taken = run["per_class"] * run["classes"] or round(run["fraction"] * train)
        held_out, tested = int(run["validation"] * taken), round(run["test_fraction"] * test)
        seeds, last = len(run["seeds"]), run["training"][-1]
        if not config.trains(run["training"]):
            taken = held_out = 0
        for phase in run["training"]:
            passes = phase["epochs"] + (phase is last)
            yield Work(name, kind_of(run, phase), seeds * phase["epochs"] * (taken - held_out),
                       seeds * (passes * held_out + (phase is last) * tested))


def counted(name: str, entry: dict) -> tuple[int, int]:
    """Training and test images of a dataset of plan/datasets.yaml."""
    if "url" in entry:
        raise UserError(f"{entry['url']}: how many images there are is known once it is fetched")
    facts = own.facts_of(entry.get("place", name), entry.get("skip_broken", False))
    return facts.train, facts.test


def kind_of(run: dict, phase: dict) -> str:
    return json.dumps({
        # The pull of L2-SP needs pretrained weights, and takes no time to speak of.
        "knobs": config.training_knobs(run) | {"l2_sp": 0.0},
        "parts": [row | {"lr_scale": float(row["tune"] != "frozen")} for row in phase["parts"]],
        "classes": run["classes"], "trains": phase["epochs"] > 0}, sort_keys=True)


def hours(works: list[Work], rates: dict[str, tuple[float | None, float]]) -> float:
    """Hours of some works, given images per second in training and in testing of each kind."""
    return sum((work.trained / rates[work.kind][0] if work.trained else 0)
               + work.tested / rates[work.kind][1] for work in works) / 3600


def measure(kind: dict, device, seconds: float) -> tuple[float | None, float]:
    """Images per second of a kind of work, in training (None where it does not train) and in
    testing, for about that many seconds each."""
    from unfreeze.data.reading.images import Images
    from unfreeze.training import loop
    from unfreeze.training.replicate import Inputs, Training

    knobs, classes = kind["knobs"], kind["classes"]
    size, rng = knobs["image_size"], np.random.default_rng(0)

    def images(batches: int) -> Images:
        count = batches * knobs["batch_size"] * knobs["accumulate"]
        return Images(rng.integers(0, 256, (count, size, size, 3), np.uint8),
                      np.arange(count) % classes, range(count), size, [0.5] * 3, [0.25] * 3,
                      device.torch, limit=1 << 40)

    def repeated(begin: Callable[[], Callable[[], float]], splits: dict) -> float:
        """Images per second; what `begin` gives goes through those of splits["train"], and gives
        its seconds. The first time, when memory is allocated and kernels are chosen, counts only
        where it takes so long that this is little of it."""
        once = begin()
        took = [once()]
        if took[0] < 10 * seconds:
            took = [once()]
            if took[0] * MANY / FEW < seconds:
                splits["train"] = images(MANY)
                once = begin()
                took = [once()]
        while sum(took) < seconds:
            took.append(once())
        return len(took) * len(splits["train"]) / sum(took)

    # From scratch: weights change no speed. The phase has no end, and few epochs are seen of it.
    recipe = {"knobs": knobs, "weights": None, "classes": list(range(classes)), "dataset": None,
              "normalization": None, "transform": None, "seeds": {1: None}, "phases": [{
        "epochs": 10**9 * kind["trains"], "parts": kind["parts"], "lr": 1e-6, "weight_decay": 0.0,
        "schedule": "constant", "warmup_epochs": 0}]}
    splits = {"train": images(FEW), "validation": images(0)}

    def training() -> Callable[[], float]:
        begun = Training(recipe, 1, device, Inputs(), splits)
        return lambda: begun.epoch(lambda: None)["seconds"]

    train = repeated(training, splits) if kind["trains"] else None
    model = Training(recipe, 1, device, Inputs(), splits).result()

    def test() -> float:
        start = time.perf_counter()
        loop.predict(model, splits["train"].batches(4 * knobs["batch_size"]), device)
        return time.perf_counter() - start

    return train, repeated(lambda: test, splits)


if __name__ == "__main__":
    run_stage(main)
