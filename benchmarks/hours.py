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
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import numpy as np  # noqa: E402

from unfreeze import files  # noqa: E402
from unfreeze.data import facts  # noqa: E402
from unfreeze.errors import UserError  # noqa: E402
from unfreeze.params.plan import ImageSource, Plan, Run  # noqa: E402
from unfreeze.params.settle import resolve  # noqa: E402
from unfreeze.plain import to_plain  # noqa: E402
from unfreeze.recipe import (  # noqa: E402
    Phase,
    PinnedDataset,
    PinnedSubset,
    PinnedWeights,
    Preprocessing,
    Recipe,
)
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
        names = [f"{study}: {', '.join(dict.fromkeys(named))}" for study, named in runs.items()]
        print(f"{train:>20}{test:>9}  {'; '.join(names)}", flush=True)
    print(f"\n{'hours':>8}  study")
    by_study = {study: hours(works, rates) for study, works in studies.items()}
    for study, number in (by_study | {"in all": sum(by_study.values())}).items():
        print(f"{number:8.2f}  {study}")


def read(folder: Path) -> list[Work]:
    """The work of a study's runs.

    Raises:
        UserError: its params.yaml cannot be used, or its images are not here.
    """
    with contextlib.chdir(folder):
        return list(works(resolve(files.read_yaml(Path("params.yaml")))))


def works(plan: Plan) -> Iterator[Work]:
    """The phases of all runs; validating and testing at the end belong to the last.

    Raises:
        UserError: images of an address, which are counted once they are fetched.
    """
    counts = {name: counted(name, source) for name, source in plan.datasets.items()}
    for name, run in plan.runs.items():
        knobs, (train, test) = run.knobs, counts[run.knobs["dataset"]]
        # As data.subsets draws them.
        taken = knobs["per_class"] * run.classes or round(knobs["fraction"] * train)
        held_out, tested = int(knobs["validation"] * taken), round(knobs["test_fraction"] * test)
        seeds, last = len(knobs["seeds"]), run.phases[-1]
        if not run.trains:
            taken = held_out = 0
        for phase in run.phases:
            epochs = phase.knobs["epochs"]
            passes = epochs + (phase is last)
            yield Work(name, kind_of(run, phase), seeds * epochs * (taken - held_out),
                       seeds * (passes * held_out + (phase is last) * tested))


def counted(name: str, source: ImageSource) -> tuple[int, int]:
    """Training and test images of a dataset."""
    if source.url:
        raise UserError(f"{source.url}: how many images there are is known once it is fetched")
    known = facts.facts_of(source.path or name, source.skip_broken)
    return known.train, known.test


def kind_of(run: Run, phase: Phase) -> str:
    """What sets the speed of a phase. The pull of L2-SP takes no time to speak of."""
    return json.dumps(to_plain({
        "knobs": {**run.training_knobs, "l2_sp": 0.0}, "augmentations": run.augmentations,
        "freeze": phase.knobs["freeze"], "image_size": run.preprocessing.image_size,
        "scratch": run.knobs["init"] == "scratch", "classes": run.classes,
        "trains": phase.trains}), sort_keys=True)


def hours(works: list[Work], rates: dict[str, tuple[float | None, float]]) -> float:
    """Hours of some works, given images per second in training and in testing of each kind."""
    return sum((work.trained / rates[work.kind][0] if work.trained else 0)
               + work.tested / rates[work.kind][1] for work in works) / 3600


def measure(kind: dict, device, seconds: float) -> tuple[float | None, float]:
    """Images per second of a kind of work, in training (None where it does not train) and in
    testing, for about that many seconds each."""
    from unfreeze.training import counting, evaluation
    from unfreeze.training.replicate import Replicate
    from unfreeze.training.setting import set_up

    knobs = kind["knobs"]
    preprocessing = Preprocessing(kind["image_size"], "square", "bilinear", (0.5,) * 3, (0.25,) * 3)
    splits = {"train": noise(kind, preprocessing, FEW, device),
              "validation": noise(kind, preprocessing, 0, device)}

    def repeated(begin: Callable[[], Callable[[], float]]) -> float:
        """Images per second; what `begin` gives goes through those of splits["train"], and gives
        its seconds. The first time, when memory is allocated and kernels are chosen, counts only
        where it takes so long that this is little of it."""
        once = begin()
        took = [once()]
        if took[0] < 10 * seconds:
            took = [once()]
            if took[0] * MANY / FEW < seconds:
                splits["train"] = noise(kind, preprocessing, MANY, device)
                once = begin()
                took = [once()]
        while sum(took) < seconds:
            took.append(once())
        return len(took) * len(splits["train"]) / sum(took)

    with tempfile.TemporaryDirectory() as folder:
        recipe = counting.with_threads(recipe_of(kind, preprocessing, Path(folder)))

        def training() -> Callable[[], float]:
            replicate = Replicate(set_up(recipe, 1, device, Path(folder), splits))

            def epoch() -> float:
                start = time.perf_counter()
                replicate.epoch(lambda: None)
                return time.perf_counter() - start

            return epoch

        train = repeated(training) if kind["trains"] else None
        model = set_up(recipe, 1, device, Path(folder), splits).model

    def test() -> float:
        start = time.perf_counter()
        evaluation.predict(model, splits["train"], knobs, kind["classes"], device)
        return time.perf_counter() - start

    return train, repeated(lambda: test)


def noise(kind: dict, preprocessing: Preprocessing, batches: int, device):
    """So many batches of random images, as a split."""
    from unfreeze.data.reading.images import Images

    knobs, size, rng = kind["knobs"], preprocessing.image_size, np.random.default_rng(0)
    count = batches * knobs["batch_size"] * knobs["accumulate"]
    return Images(rng.integers(0, 256, (count, size, size, 3), np.uint8),
                  np.arange(count) % kind["classes"], range(count), preprocessing, device.torch,
                  limit=1 << 40)


def recipe_of(kind: dict, preprocessing: Preprocessing, folder: Path) -> Recipe:
    """A recipe of that kind, whose phase has no end: few epochs are seen of it."""
    phase = Phase({"freeze": kind["freeze"], "lr_scale": {}, "lr_decay": 1.0, "lr": 1e-6,
                   "weight_decay": 0.0, "schedule": "constant", "warmup_epochs": 0,
                   "epochs": 10**9 * kind["trains"]})
    dataset = PinnedDataset("noise", "none", tuple(map(str, range(kind["classes"]))))
    weights = None if kind["scratch"] else random_weights(kind, folder)
    return Recipe(kind["knobs"], kind["augmentations"], (phase,), preprocessing, dataset, weights,
                  {1: PinnedSubset("none", "none")}, software={}, code="none")


def random_weights(kind: dict, folder: Path) -> PinnedWeights:
    """Of the model as it starts, in a folder: what is in weights changes no speed, but what a
    model without any starts with is trained in full."""
    from safetensors.torch import save_file

    from unfreeze import models
    from unfreeze.models import heads, weights

    knobs = kind["knobs"]
    model = models.build(knobs["model"], knobs["stem"],
                         heads.outputs(knobs["head"], kind["classes"]), kind["image_size"])
    file = weights.path(folder, "random")
    save_file({name: tensor for name, tensor in model.state_dict().items()
               if not weights.is_counter(name)}, file)
    digest = weights.tensors_digest(weights.read_arrays(file))
    return PinnedWeights("random", digest, own=True)


if __name__ == "__main__":
    run_stage(main)
