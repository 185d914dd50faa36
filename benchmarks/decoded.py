"""Training from a file of decoded photos beside training from memory, and its memory.

An epoch of a small model (mobilenet_v2, 96 px, batch 64, flips) over the same images, once from an
array in memory and once from the file as `RowFile` reads it; in turns, the first one
alternates. Printed are images per second and the ratio of neighbouring epochs, its median and its
smallest and largest value. Then batches are drawn from a sparse file of 8 GB, for the peak memory.

Usage: python benchmarks/decoded.py [--images 1024] [--rounds 3] [--gigabytes 8]
"""

import argparse
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from unfreeze import models  # noqa: E402
from unfreeze.data.reading.augmentation import Chain  # noqa: E402
from unfreeze.data.reading.images import Images  # noqa: E402
from unfreeze.data.reading.row_file import RowFile  # noqa: E402
from unfreeze.recipe import Preprocessing  # noqa: E402
from unfreeze.training import devices, loop  # noqa: E402

SIZE, CLASSES, BATCH, LARGE = 96, 10, 64, 224
AUGMENTATION = Chain({"flip": True})


def generator(name: str) -> torch.Generator:
    """The same draws in every epoch: the speed does not ask."""
    return torch.Generator()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=1024, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gigabytes", type=float, default=8, help="of the large file; 0: none")
    options = parser.parse_args()
    device = devices.pick()
    with tempfile.TemporaryDirectory() as folder:
        if options.gigabytes:  # first: peak memory never falls
            memory(Path(folder) / "large.npy", options.gigabytes, device)
        compare(Path(folder) / "images.npy", options.images, options.rounds, device)


def images_of(source, count: int, size: int, device: devices.Device) -> Images:
    preprocessing = Preprocessing(size, "square", "bilinear", (0.5,) * 3, (0.25,) * 3)
    return Images(source, np.arange(count) % CLASSES, range(count), preprocessing, device.torch,
                  1 << 40)


def memory(path: Path, gigabytes: float, device: devices.Device) -> None:
    count = int(gigabytes * 1e9 / (LARGE * LARGE * 3))
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {
            "descr": "|u1", "fortran_order": False, "shape": (count, LARGE, LARGE, 3)})
        file.truncate(file.tell() + count * LARGE * LARGE * 3)
    images = images_of(RowFile(path), count, LARGE, device)
    seen = 0
    for batch, _ in images.shuffled(BATCH, AUGMENTATION, generator):
        seen += len(batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"an epoch of batches from {gigabytes:g} GB ({seen:,} images): peak memory of the "
          f"process {peak:.2f} GB")


def compare(path: Path, count: int, rounds: int, device: devices.Device) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
    np.save(path, pixels)
    sources = {"memory": images_of(pixels, count, SIZE, device),
               "file": images_of(RowFile(path), count, SIZE, device)}
    model = models.build("mobilenet_v2", "original", CLASSES, SIZE).to(
        device.torch, memory_format=torch.channels_last).train()
    optimizer = loop.make_optimizer([{"params": model.parameters(), "lr": 1e-3}],
                                    {"optimizer": "adam"})

    def epoch(images: Images) -> float:
        start = time.perf_counter()
        batches = images.shuffled(BATCH, AUGMENTATION, generator)
        loop.train_epoch(model, optimizer, batches, device, loop.Step(), lambda: None)
        device.synchronize()
        return count / (time.perf_counter() - start)

    epoch(sources["memory"])  # what is done once
    ratios, speeds = [], {name: [] for name in sources}
    for number in range(rounds):
        order = list(sources)[::1 if number % 2 else -1]
        measured = {name: epoch(sources[name]) for name in order}
        ratios.append(measured["file"] / measured["memory"])
        for name, speed in measured.items():
            speeds[name].append(speed)
    shown = ", ".join(f"{name} {statistics.median(rates):.1f}" for name, rates in speeds.items())
    print(f"images per second from {shown}; ratio {statistics.median(ratios):.3f} "
          f"({min(ratios):.3f}..{max(ratios):.3f} over {rounds} rounds)")


if __name__ == "__main__":
    main()
