"""Ingest of photos (decode, resize, crop, write the array) beside a plain loop, and its memory.

Both sides make the same array, byte for byte, of the same JPEGs (500 x 375, noise whose spectrum
falls as that of natural images, quality 90, about 120 kB), with Resize(256) and CenterCrop(224):

    plain   Image.open, convert, resize, crop for one file after the other, np.stack, np.save
    ours    decoding.write_photos as the stage decode calls it, UNFREEZE_WORKERS processes; their
            start and the check of each file's digest count

They take turns, the first one alternates. A ratio is that of neighbouring portions; printed are its
median over the rounds and its smallest and largest value, and the processor time that an image
took: where other programs run, the ratio says more of them than of us, and that time does not.

Then an array of 8 GB is made of the same files and its statistics are taken, while the resident
memory of all processes is summed up every 20 ms (shared pages count once for each process).

Usage: python benchmarks/ingest.py [--images 4000] [--rounds 3] [--gigabytes 8]
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from unfreeze import environment, files  # noqa: E402
from unfreeze.data import decoding, photos  # noqa: E402
from unfreeze.recipe import Preprocessing  # noqa: E402
from unfreeze.stage import run_stage  # noqa: E402

WIDTH, HEIGHT, QUALITY = 500, 375, 90
RESIZE, SIZE = 256, 224
LARGE = 1024  # side of the 8 GB array: few rows, so that it takes a minute, not ten
FILES, SPECTRA = 500, 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=4000, help="of a timed portion")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gigabytes", type=float, default=8, help="of the large array; 0: none")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        print(f"load average before the start: {os.getloadavg()[0]:.1f} of {os.cpu_count()} "
              "processors", flush=True)
        make(folder / "photos")
        found = photos.scan(folder / "photos", skip_broken=False).photos
        compare(folder, found, options.images, options.rounds)
        if options.gigabytes:
            memory(folder, found, options.gigabytes)


def make(folder: Path) -> None:
    """FILES different photos in two classes."""
    random = np.random.default_rng(0)
    for i in range(FILES):
        if i % (FILES // SPECTRA) == 0:
            scene = natural(random)
        shifted = np.roll(scene, random.integers(0, WIDTH, 2), (0, 1))
        path = folder / f"class{i % 2}" / f"{i:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(shifted).save(path, quality=QUALITY)


def natural(random: np.random.Generator) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8 with amplitudes that fall as 1/frequency (Field 1987), and channels
    that mostly agree."""
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None])
    amplitude = 1 / np.maximum(frequency, 1 / WIDTH)

    def noise() -> np.ndarray:
        phase = np.exp(2j * np.pi * random.random(amplitude.shape))
        return np.fft.irfft2(amplitude * phase, (HEIGHT, WIDTH))

    common = noise()
    channels = np.stack([common + 0.3 * noise() for _ in range(3)], axis=-1)
    return (128 + 55 * channels / channels.std()).clip(0, 255).astype(np.uint8)


def compare(folder: Path, found: tuple[photos.Photo, ...], images: int, rounds: int) -> None:
    rows = [found[i % len(found)] for i in range(images)]
    paths = [folder / "photos" / photo.member for photo in rows]
    workers = environment.workers()
    sides = {
        "plain": lambda out: plain(paths, out),
        "ours": lambda out: decoding.write_photos(
            folder / "photos", rows, Preprocessing(SIZE, RESIZE, "bilinear", (), ()), out, workers),
    }
    speeds, ratios, digests = {name: [] for name in sides}, [], set()
    busy = dict.fromkeys(sides, 0.0)
    for number in range(rounds):
        for name in list(sides)[::1 if number % 2 == 0 else -1]:
            out = folder / f"{name}.npy"
            start, busy_before = time.perf_counter(), sum(os.times()[:4])
            sides[name](out)
            speeds[name].append(images / (time.perf_counter() - start))
            busy[name] += sum(os.times()[:4]) - busy_before
            digests.add(files.file_digest(out))
            out.unlink()
        ratios.append(speeds["ours"][-1] / speeds["plain"][-1])
        print(f"round {number + 1}: plain {speeds['plain'][-1]:.0f}, ours {speeds['ours'][-1]:.0f} "
              f"images/s, ratio {ratios[-1]:.2f}", flush=True)
    plain_busy, ours_busy = (1000 * busy[name] / images / rounds for name in ("plain", "ours"))
    same = "the same bytes" if len(digests) == 1 else "DIFFERENT BYTES"
    print(f"\n{images} JPEGs of {WIDTH} x {HEIGHT} to {SIZE} x {SIZE}, {workers} workers, Pillow "
          f"{Image.__version__}, {same}:\nplain {statistics.median(speeds['plain']):.0f} images/s, "
          f"ours {statistics.median(speeds['ours']):.0f} images/s, ratio "
          f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f}); processor time "
          f"an image {plain_busy:.2f} and {ours_busy:.2f} ms\n", flush=True)


def plain(paths: list[Path], out: Path) -> None:
    arrays = []
    for path in paths:
        image = Image.open(path).convert("RGB")
        shorter = min(image.size)
        width, height = (int(RESIZE * side / shorter) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = round((width - SIZE) / 2), round((height - SIZE) / 2)
        arrays.append(np.asarray(image.crop((left, top, left + SIZE, top + SIZE))))
    np.save(out, np.stack(arrays))


def memory(folder: Path, found: tuple[photos.Photo, ...], gigabytes: float) -> None:
    rows = [found[i % len(found)] for i in range(int(gigabytes * 1e9 / (LARGE * LARGE * 3)))]
    out = folder / "large.npy"
    tasks = {
        "ingest": lambda: decoding.write_photos(
            folder / "photos", rows, Preprocessing(LARGE, "square", "bilinear", (), ()), out,
            environment.workers()),
        "statistics": lambda: decoding.mean_and_std(out),
    }
    for name, task in tasks.items():
        start = time.perf_counter()
        peak, processes = peak_of(task)
        print(f"{name}: an array of {out.stat().st_size / 1e9:.1f} GB, peak memory "
              f"{peak / 1e9:.2f} GB in {processes} processes, "
              f"{time.perf_counter() - start:.0f} s", flush=True)


def peak_of(task) -> tuple[int, int]:
    """Largest sum over this process and its children of resident bytes, and how many they were."""
    ended, seen = threading.Event(), [(0, 0)]

    def watch() -> None:
        while not ended.wait(0.02):
            sizes = [resident(pid) for pid in (os.getpid(), *children())]
            seen.append((sum(sizes), len(sizes)))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        task()
    finally:
        ended.set()
        watcher.join()
    return max(seen)


def children() -> list[int]:
    found = []
    for path in Path("/proc/self/task").glob("*/children"):
        try:
            found += map(int, path.read_text().split())
        except OSError:  # a thread that has ended
            pass
    return found


def resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


if __name__ == "__main__":
    run_stage(main)
