"""The prefix cache beside the same training without it, in turns: seconds of all epochs, what the
frozen layers' outputs cost included. Both sides must train the same model; whether they did is in
the last column.

Usage: python benchmarks/prefix_cache.py [--images 2000] [--epochs 10] [--rounds 3] [--json PATH]
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import torch  # noqa: E402

from unfreeze import environment, files, places  # noqa: E402
from unfreeze.data.catalogue import cifar10  # noqa: E402
from unfreeze.data.reading import arrays  # noqa: E402
from unfreeze.data.reading.images import Images  # noqa: E402
from unfreeze.params.settle import resolve  # noqa: E402
from unfreeze.recipe import (  # noqa: E402
    PinnedDataset,
    PinnedSubset,
    Preprocessing,
    Recipe,
)
from unfreeze.stage import run_stage  # noqa: E402
from unfreeze.training import counting, devices  # noqa: E402
from unfreeze.training.replicate import Replicate  # noqa: E402
from unfreeze.training.setting import set_up  # noqa: E402

SIZE = 96
PREPROCESSING = Preprocessing(SIZE, "square", "bilinear", cifar10.MEAN, cifar10.STD)
MODEL = {"model": "mobilenet_v2", "image_size": SIZE, "init": "scratch", "validation": 0}
CASES = {  # the speed does not ask what is in the weights
    "last_only": {"freeze": "last_only", "flip": False},
    "last_only, mirrored or not": {"freeze": "last_only", "flip": True},
    "later half": {"freeze": {"train": ["stage3", "stage4", "head"]}, "flip": False},
    "later half, mirrored or not": {"freeze": {"train": ["stage3", "stage4", "head"]},
                                    "flip": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device, data = devices.pick(), arrays.load(ROOT / places.DATA / "cifar10")
    splits = {name: Images(data.train_images, data.train_labels, range(count), PREPROCESSING,
                           device.torch, environment.resized_limit(device.memory))
              for name, count in (("train", options.images), ("validation", 0))}
    machine = f"{device.name}, {device.precision}, torch {torch.__version__}"
    print(f"{machine}; mobilenet_v2, {SIZE} px, {options.images} images, {options.epochs} epochs, "
          f"median of {options.rounds} rounds")
    print(f"{'case':32}{'without, s':>12}{'with, s':>10}{'ratio':>8}{'min..max':>14}  same model")
    rows = []
    for case, knobs in CASES.items():
        took, ratios, same = [], [], True
        for _ in range(options.rounds):
            (off, plain), (on, cached) = (
                train(knobs | {"epochs": options.epochs}, splits, device, gigabytes)
                for gigabytes in (0, 10))
            took.append((off, on))
            ratios.append(off / on)
            same &= all(torch.equal(plain[name], cached[name]) for name in plain)
        off, on = (statistics.median(side) for side in zip(*took, strict=True))
        row = {"case": case, "without": off, "with": on, "ratio": statistics.median(ratios),
               "min": min(ratios), "max": max(ratios), "same": same}
        rows.append(row)
        print(f"{case:32}{off:12.1f}{on:10.1f}{row['ratio']:8.2f}"
              f"{row['min']:8.2f}..{row['max']:.2f}  {'bit for bit' if same else 'no'}", flush=True)
    if options.json:
        files.write_json(options.json, {"machine": machine, "rows": rows})


def train(knobs: dict, splits: dict, device: devices.Device, gigabytes: int
          ) -> tuple[float, dict[str, torch.Tensor]]:
    """Seconds of a replicate's epochs, and the trained tensors."""
    run = resolve(MODEL | knobs | {"runs": {"run": {}}}).runs["run"]
    recipe = Recipe(run.training_knobs, run.augmentations, run.phases, PREPROCESSING,
                    PinnedDataset("cifar10", "none", cifar10.CLASSES), None,
                    {1: PinnedSubset("none", "none")}, software={}, code="none")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ |= {"UNFREEZE_SCRATCH": scratch, "UNFREEZE_PREFIX_GB": str(gigabytes)}
        replicate = Replicate(set_up(counting.with_threads(recipe), 1, device, Path(scratch),
                                     splits))
        start = time.perf_counter()
        while not replicate.finished:
            replicate.epoch(lambda: None)
        return time.perf_counter() - start, replicate.model().state_dict()


if __name__ == "__main__":
    run_stage(main)
