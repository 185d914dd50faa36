"""Training throughput: this project's engine beside the plain loop of the published write-ups,
beside timm's train.py, and beside the bare step of the model.

All sides train the same model with the same optimizer and batch size on the same CIFAR-10 images,
resized to the same side; plain and ours with the same augmentation (crop with padding 4, flip):

    plain   a dataset of PIL images, torchvision transforms on one image at a time, two DataLoader
            workers, no autocast, torch's default memory format, torch.optim.SGD, loss.item() each
            step
    ours    Images and loop.train_epoch under devices.pick(), called as replicate.train calls them
    timm    train.py of a checkout of pytorch-image-models (--timm), as it is, with its defaults
            (four workers, no autocast, and its own augmentation: random crop of any size, flip,
            colour jitter), and timm's model where it has the same one. The images are PNG files, a
            folder for each class. Its speed is by its own log, in whole milliseconds a step
    timm+   the same with its best flags for the machine: --channels-last, a worker for each core,
            no colour jitter; --pin-mem on a GPU; and where ours is in bf16 --amp --amp-dtype
            bfloat16
    step    forward, backward and optimizer step on one ready-made batch, over and over, in the same
            precision and memory format as ours: the ceiling of any loop around it

They take turns: in each round each side trains for the same number of steps, while the others sit
idle in processes of their own (devices.pick() changes the allocator and the arithmetic of the whole
process); timm starts anew for each round. Timed are training steps after warm-up steps; neither the
start of timm and of workers nor our one-off resizing counts, the latter stands in a column of its
own. A ratio is that of the portions of a round; the table has its median over the rounds and its
smallest and largest value.

Usage: python benchmarks/throughput.py [--cases mobilenet_v2-96 ...] [--rounds 4] [--seconds 5]
           [--timm path/to/pytorch-image-models]
"""

import argparse
import functools
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from unfreeze import places  # noqa: E402
from unfreeze.data.catalogue import cifar10  # noqa: E402
from unfreeze.data.reading import arrays  # noqa: E402
from unfreeze.stage import run_stage  # noqa: E402

CASES = {  # name: model, stem, image size
    "mobilenet_v2-96": ("mobilenet_v2", "original", 96),
    "resnet18-cifar-32": ("resnet18", "cifar", 32),
    "resnet18-224": ("resnet18", "original", 224),
    "alexnet-224": ("alexnet", "original", 224),
    "vit_b_16-224": ("vit_b_16", "original", 224),
}
DEFAULT = ("mobilenet_v2-96", "resnet18-cifar-32", "resnet18-224")
SIDES = ("plain", "ours", "step")
TIMM = {"timm": [], "timm+": ["--channels-last", "--color-jitter", "0", "--workers",
                              str(len(os.sched_getaffinity(0)))]}  # and what suits the device
# Batches that timm's workers make before they are asked for: two each, and there are four or more.
READ_AHEAD = 2 * max(4, len(os.sched_getaffinity(0)))
# What timm calls the same model. It has no AlexNet, and no ResNet with this stem.
TIMM_MODELS = {"mobilenet_v2-96": "mobilenetv2_100", "resnet18-224": "resnet18",
               "vit_b_16-224": "vit_base_patch16_224"}
LARGEST = {"vit_b_16-224": 16}  # batch size at most; a step of 64 is half a minute on two cores
WARM_UP = 2  # steps before each timed portion: workers have filled their queue, caches are warm
LR, MOMENTUM, PADDING = 0.01, 0.9, 4

Portion = Callable[[int], float]  # train for that many steps, return the seconds they took


def main() -> None:
    options = _options()
    if options.side:
        _serve(options, arrays.load(ROOT / places.DATA / "cifar10"))
    else:
        _compare(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(DEFAULT))
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5, help="of each timed portion, roughly")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--images", type=int, default=5000,
                        help="to draw from; more on a GPU, where they are soon through")
    parser.add_argument("--json", type=Path, help="write all measurements here")
    parser.add_argument("--timm", type=Path, help="a checkout of pytorch-image-models")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--device", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.timm and not (options.timm / "train.py").is_file():
        parser.error(f"--timm {options.timm}: there is no train.py; give a checkout of "
                     "https://github.com/huggingface/pytorch-image-models")
    return options


# --- The comparison: starts the two sides and asks them in turn. It imports no torch itself.


def _compare(options: argparse.Namespace) -> None:
    print(f"load average before the start: {os.getloadavg()[0]:.1f} of {os.cpu_count()} processors",
          flush=True)
    results = {}
    for case in options.cases:
        results[case] = _measure(case, options)
        if options.json:  # what is measured is kept, should the rest fail
            options.json.write_text(json.dumps(results, indent=2) + "\n")
    machine = next(iter(results.values()))["machine"]
    print(f"\n{machine}, the rest without autocast, {options.rounds} rounds of some steps of a "
          "batch\n")
    print(_table(results, options.images))
    print(f"\n{_memory_table(results)}")


def _measure(case: str, options: argparse.Namespace) -> dict:
    batch_size = min(options.batch_size, LARGEST.get(case, options.batch_size))
    options = argparse.Namespace(**vars(options) | {"batch_size": batch_size})
    processes, about = {}, {}
    processes["ours"], about = _start("ours", case, options)
    for name in ("plain", "step"):
        processes[name], _ = _start(name, case, options, "--device", about["device"])
    # A first look at the plain loop's speed settles the steps of a portion, the same for all.
    one, _ = _ask(processes["plain"], 1)
    most = options.images // options.batch_size - WARM_UP  # a portion lies within one epoch
    steps = min(max(2, round(options.seconds / one)), most)
    for name in ("ours", "step"):
        _ask(processes[name], 1)
    sides = {name: functools.partial(_ask, processes[name]) for name in SIDES}
    with tempfile.TemporaryDirectory(prefix="unfreeze-timm-") as folder:
        if options.timm and case in TIMM_MODELS:
            _write_images(Path(folder), (steps + WARM_UP + READ_AHEAD) * options.batch_size)
            sides |= {name: functools.partial(_timm, case, name, about, Path(folder), options)
                      for name in TIMM}
        images, rounds, memory = steps * options.batch_size, [], []
        for number in range(options.rounds):
            # The side that goes first changes, so that a drift of the machine favours none.
            first = number % len(sides)
            order = [*list(sides)[first:], *list(sides)[:first]]
            found = {name: sides[name](steps) for name in order}
            rounds.append({name: images / found[name][0] for name in sides})
            memory.append({name: found[name][1] for name in SIDES})
            print(f"{case}, round {number + 1}: " + ", ".join(
                f"{name} {rounds[-1][name]:.1f}" for name in sides) + " images/s", flush=True)
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return {**about, "steps": steps, "batch_size": batch_size, "images_per_second": rounds,
            "memory_bytes": memory}


def _write_images(folder: Path, images: int) -> None:
    """Some of the images that the other sides draw from, as timm reads them:
    train/CLASS/NUMBER.png, and a few for the validation that it is not left to do."""
    from PIL import Image

    data = arrays.load(ROOT / places.DATA / "cifar10")
    for split, count in (("train", images), ("validation", 64)):
        for number in range(count):
            place = folder / split / cifar10.CLASSES[data.train_labels[number]]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(data.train_images[number]).save(place / f"{number}.png")


def _timm(case: str, side: str, about: dict, folder: Path, options: argparse.Namespace,
          steps: int) -> tuple[float, None]:
    """Seconds of that many steps of timm's train.py after warm-up, by its own log. Its memory is
    not measured."""
    flags = TIMM[side]
    if side == "timm+":
        flags = [*flags, *(["--amp", "--amp-dtype", "bfloat16"] if about["precision"] == "bf16"
                           else []), *(["--pin-mem"] if about["device"] != "cpu" else [])]
    process = subprocess.Popen(
        [sys.executable, str(options.timm.resolve() / "train.py"), str(folder),
         "--model", TIMM_MODELS[case], "--num-classes", str(len(cifar10.CLASSES)),
         "--img-size", str(CASES[case][2]), "--batch-size", str(options.batch_size),
         "--device", about["device"], "--opt", "sgd", "--lr", str(LR), "--momentum", str(MOMENTUM),
         "--epochs", "1", "--warmup-epochs", "0", "--log-interval", "1",
         "--output", str(folder / "output"), *flags],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=folder,
        start_new_session=True)
    took, said = [], []
    for line in process.stderr:
        said.append(line)
        took += map(float, re.findall(r"Train: 0 .* Time: ([0-9.]+)s,", line))
        if len(took) == WARM_UP + steps:  # its workers make batches up to here, and beyond
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return sum(took[WARM_UP:]), None
    sys.exit(f"{''.join(said)}\nerror: timm's train.py stopped after {len(took)} steps")


def _start(side: str, case: str, options: argparse.Namespace,
           *more: str) -> tuple[subprocess.Popen, dict]:
    """A side in its own process, ready to train, and what it says about itself."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--side", side, "--cases", case, "--images", str(options.images),
         "--batch-size", str(options.batch_size), *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, _answer(process)


def _ask(process: subprocess.Popen, steps: int) -> tuple[float, int]:
    """Seconds of that many steps of a side, and the bytes that its process holds after them."""
    process.stdin.write(f"{steps}\n")
    process.stdin.flush()
    return _answer(process)


def _answer(process: subprocess.Popen) -> object:
    line = process.stdout.readline()
    if not line:
        sys.exit(f"{' '.join(process.args)} stopped; its error stands above")
    return json.loads(line)


def _table(results: dict, images: int) -> str:
    sides = [*SIDES, *(TIMM if any("timm" in result["images_per_second"][0]
                                   for result in results.values()) else ())]
    others = [side for side in sides if side != "ours"]
    lines = [("case", *(f"{side} img/s" for side in sides),
              *(f"ours / {other}" for other in others), "timed", f"resizing {images} once")]
    for case, result in results.items():
        rounds = result["images_per_second"]
        lines.append((
            case, *(f"{statistics.median(each[side] for each in rounds):.1f}"
                    if side in rounds[0] else "-" for side in sides),
            *(_ratio([each["ours"] / each[other] for each in rounds])
              if other in rounds[0] else "-" for other in others),
            f"{result['steps']} of {result['batch_size']}", f"{result['resizing']:.1f} s",
        ))
    return _aligned(lines)


def _memory_table(results: dict) -> str:
    """Of the processes, after the last round; and how much ours grew from the first round to it."""
    lines = [("memory", *(f"{side} MB" for side in SIDES), "ours, growth MB")]
    for case, result in results.items():
        first, last = result["memory_bytes"][0], result["memory_bytes"][-1]
        lines.append((case, *(f"{last[side] / 1e6:.0f}" for side in SIDES),
                      f"{(last['ours'] - first['ours']) / 1e6:+.0f}"))
    return _aligned(lines)


def _aligned(lines: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
                     for line in lines)


def _ratio(found: list[float]) -> str:
    return f"{statistics.median(found):.2f} ({min(found):.2f}..{max(found):.2f})"


# --- The sides: each runs in a process of its own and trains when it is told to.


def _serve(options: argparse.Namespace, data: arrays.Arrays) -> None:
    """Say what this side is; then for each number of steps read, the seconds they took."""
    (case,) = options.cases
    portion, about = {"ours": ours, "plain": plain, "step": step}[options.side](
        case, options, data)
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        print(json.dumps((portion(int(line)), memory())), flush=True)


def memory() -> int:
    """Bytes of this process; on a GPU, the most that it ever held there."""
    import torch

    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def made_up(count: int) -> arrays.Arrays:
    """Images of noise in the form of CIFAR-10, where it is not at hand: a step takes as long."""
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(count) % len(cifar10.CLASSES)
    return arrays.Arrays(images, labels, images[:0], labels[:0])


def build(case: str):
    """The model, from scratch; all sides start from the same weights."""
    import torch

    from unfreeze import models

    name, stem, size = CASES[case]
    torch.manual_seed(0)
    return models.build(name, stem, len(cifar10.CLASSES), size)


def ours(case: str, options: argparse.Namespace, data: arrays.Arrays) -> tuple[Portion, dict]:
    """What replicate.train does for a run with `freeze: none`.

    Args:
        options: images, batch_size.
    """
    import torch

    from unfreeze import environment, models
    from unfreeze.data.reading.augmentation import Chain
    from unfreeze.data.reading.images import Images
    from unfreeze.recipe import Preprocessing
    from unfreeze.training import devices, loop
    from unfreeze.training.randomness import generator
    from unfreeze.tuning import groups, lean, rules

    name, _, size = CASES[case]
    device = devices.pick()
    start = time.perf_counter()
    images = Images(data.train_images, data.train_labels, range(options.images),
                    Preprocessing(size, "square", "bilinear", cifar10.MEAN, cifar10.STD),
                    device.torch, environment.resized_limit(device.memory))
    device.synchronize()
    resizing = time.perf_counter() - start
    augmentation = Chain({"crop_padding": PADDING, "flip": True})
    rows = rules.part_table(models.facts_of(name).parts, "none", {})
    model = build(case)
    lean.install(model)
    groups.freeze(model, rows)
    model = model.to(device.torch, memory_format=torch.channels_last)
    optimizer = loop.make_optimizer(groups.parameter_groups(model, rows, LR, 0.0),
                                    {"optimizer": "sgd", "momentum": MOMENTUM})
    loop.set_training_mode(model, "eval")
    epochs = itertools.count()

    def portion(steps: int) -> float:
        epoch = next(epochs)
        batches = images.shuffled(options.batch_size, augmentation,
                                  lambda purpose: generator(0, purpose, epoch))

        def train(count: int) -> None:
            loop.train_epoch(model, optimizer, itertools.islice(batches, count), device,
                             loop.Step(), progress=lambda: None)
            device.synchronize()

        train(WARM_UP)
        start = time.perf_counter()
        train(steps)
        return time.perf_counter() - start

    return portion, {"machine": f"{device.name}, torch {torch.__version__}, ours in "
                                f"{device.precision}",
                     "precision": device.precision, "device": str(device.torch),
                     "resizing": resizing}


def step(case: str, options: argparse.Namespace, data: arrays.Arrays | None = None,
         prepare: Callable = lambda model: model) -> tuple[Portion, dict]:
    """The model's step on one batch that is there.

    Args:
        options: batch_size.
        prepare: as of `bare_step`.
    """
    from unfreeze.training import devices

    device = devices.pick()
    train_one = bare_step(case, options.batch_size, device, prepare)

    def train(count: int) -> None:
        for _ in range(count):
            train_one()
        device.synchronize()

    def portion(steps: int) -> float:
        train(WARM_UP)
        start = time.perf_counter()
        train(steps)
        return time.perf_counter() - start

    return portion, {}


def bare_step(case: str, batch_size: int, device, prepare: Callable = lambda model: model
              ) -> Callable[[], None]:
    """A function that trains one step on one ready-made batch.

    Args:
        device: of `devices.pick`.
        prepare: gives what runs in the model's place, such as the model compiled.
    """
    import torch
    import torch.nn.functional as F

    size, classes = CASES[case][2], len(cifar10.CLASSES)
    model = build(case).to(device.torch, memory_format=torch.channels_last).train()
    run = prepare(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, fused=True)
    images = torch.randn(batch_size, 3, size, size, device=device.torch).contiguous(
        memory_format=torch.channels_last)
    labels = torch.arange(batch_size, device=device.torch) % classes

    def step() -> None:
        with device.autocast():
            logits = run(images)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def plain(case: str, options: argparse.Namespace, data: arrays.Arrays) -> tuple[Portion, dict]:
    """The training loop as tutorials and the published write-ups have it.

    Args:
        options: images, batch_size, device.
    """
    import torch
    from PIL import Image
    from torchvision import transforms

    class Cifar10(torch.utils.data.Dataset):
        """As torchvision.datasets.CIFAR10: arrays in memory, a PIL image when asked for one."""

        def __init__(self, transform) -> None:
            self.images = data.train_images[:options.images].copy()
            self.labels = data.train_labels[:options.images].tolist()
            self.transform = transform

        def __len__(self) -> int:
            return len(self.labels)

        def __getitem__(self, index: int):
            return self.transform(Image.fromarray(self.images[index])), self.labels[index]

    _, _, size = CASES[case]
    device = torch.device(options.device)
    transform = transforms.Compose([
        transforms.Resize(size),
        transforms.RandomCrop(size, padding=PADDING),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(cifar10.MEAN, cifar10.STD),
    ])
    loader = torch.utils.data.DataLoader(Cifar10(transform), batch_size=options.batch_size,
                                         shuffle=True, num_workers=2)
    model = build(case).to(device)
    criterion = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    model.train()

    def portion(steps: int) -> float:
        batches = iter(loader)  # starts the workers; they end with it, before the other side trains

        def train(count: int) -> float:
            running_loss = 0.0
            for images, labels in itertools.islice(batches, count):
                images, labels = images.to(device), labels.to(device)
                optimizer.zero_grad()
                outputs = model(images)
                loss = criterion(outputs, labels)
                loss.backward()
                optimizer.step()
                running_loss += loss.item()
            return running_loss

        train(WARM_UP)
        start = time.perf_counter()
        train(steps)
        return time.perf_counter() - start

    return portion, {}


if __name__ == "__main__":
    run_stage(main)
