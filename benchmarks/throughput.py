"""Training throughput: this project's engine beside the plain loop of the published write-ups, and
beside the bare step of the model.

All sides train the same model with the same optimizer and batch size, plain and ours on the same
CIFAR-10 images, resized to the same side, with the same augmentation (crop with padding 4, flip):

    plain   a dataset of PIL images, torchvision transforms on one image at a time, two DataLoader
            workers, float32, torch's default memory format, torch.optim.SGD, loss.item() each step
    ours    Images and loop.train_epoch under devices.pick(), called as replicate.train calls them
    step    forward, backward and optimizer step on one ready-made batch, over and over, in the same
            precision and memory format as ours: the ceiling of any loop around it

They take turns: in each round each side trains for the same number of steps, while the others
sit idle in processes of their own (devices.pick() changes the allocator and the arithmetic of the
whole process). Timed are training steps after warm-up steps; neither the start of the workers nor
our one-off resizing counts, the latter stands in a column of its own. A ratio is that of the
portions of a round; the table has its median over the rounds and its smallest and largest value.

Usage: python benchmarks/throughput.py [--cases mobilenet_v2-96 ...] [--rounds 4] [--seconds 5]
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from unfreeze.data import arrays  # noqa: E402
from unfreeze.data.datasets import cifar10  # noqa: E402
from unfreeze.errors import run_stage  # noqa: E402

CASES = {  # name: model, stem, image size
    "mobilenet_v2-96": ("mobilenet_v2", "original", 96),
    "resnet18-cifar-32": ("resnet18", "cifar", 32),
    "resnet18-224": ("resnet18", "original", 224),
    "alexnet-224": ("alexnet", "original", 224),
    "vit_b_16-224": ("vit_b_16", "original", 224),
}
DEFAULT = ("mobilenet_v2-96", "resnet18-cifar-32", "resnet18-224")
SIDES = ("plain", "ours", "step")
WARM_UP = 2  # steps before each timed portion: workers have filled their queue, caches are warm
LR, MOMENTUM, PADDING = 0.01, 0.9, 4

Portion = Callable[[int], float]  # train for that many steps, return the seconds they took


def main() -> None:
    options = _options()
    data = arrays.load(ROOT / "data" / "cifar10")
    if options.side:
        _serve(options, data)
    else:
        _compare(options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(DEFAULT))
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5, help="of each timed portion, roughly")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--images", type=int, default=5000, help="to draw from, in both sides")
    parser.add_argument("--json", type=Path, help="write all measurements here")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--device", help=argparse.SUPPRESS)
    return parser.parse_args()


# --- The comparison: starts the two sides and asks them in turn. It imports no torch itself.


def _compare(options: argparse.Namespace) -> None:
    print(f"load average before the start: {os.getloadavg()[0]:.1f} of {os.cpu_count()} processors",
          flush=True)
    results = {case: _measure(case, options) for case in options.cases}
    machine = next(iter(results.values()))["machine"]
    print(f"\n{machine}, plain in fp32, batch size {options.batch_size}, {options.rounds} rounds\n")
    print(_table(results, options.images))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


def _measure(case: str, options: argparse.Namespace) -> dict:
    sides, about = {}, {}
    sides["ours"], about = _start("ours", case, options)
    for name in ("plain", "step"):
        sides[name], _ = _start(name, case, options, "--device", about["device"])
    # A first look at the plain loop's speed settles the steps of a portion, the same for all.
    step = _ask(sides["plain"], 1)
    most = options.images // options.batch_size - WARM_UP  # a portion lies within one epoch
    steps = min(max(2, round(options.seconds / step)), most)
    for name in ("ours", "step"):
        _ask(sides[name], 1)
    images = steps * options.batch_size
    rounds = []
    for number in range(options.rounds):
        # The side that goes first changes, so that a drift of the machine favours none.
        first = number % len(SIDES)
        seconds = {name: _ask(sides[name], steps) for name in SIDES[first:] + SIDES[:first]}
        rounds.append({name: images / seconds[name] for name in SIDES})
        print(f"{case}, round {number + 1}: " + ", ".join(
            f"{name} {rounds[-1][name]:.1f}" for name in SIDES) + " images/s", flush=True)
    for side in sides.values():
        side.stdin.close()
        side.wait()
    return {**about, "steps": steps, "images_per_second": rounds}


def _start(side: str, case: str, options: argparse.Namespace,
           *more: str) -> tuple[subprocess.Popen, dict]:
    """A side in its own process, ready to train, and what it says about itself."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--side", side, "--cases", case, "--images", str(options.images),
         "--batch-size", str(options.batch_size), *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, _answer(process)


def _ask(process: subprocess.Popen, steps: int) -> float:
    process.stdin.write(f"{steps}\n")
    process.stdin.flush()
    return _answer(process)


def _answer(process: subprocess.Popen) -> object:
    line = process.stdout.readline()
    if not line:
        sys.exit(f"{' '.join(process.args)} stopped; its error stands above")
    return json.loads(line)


def _table(results: dict, images: int) -> str:
    lines = [("case", *(f"{side} img/s" for side in SIDES), "ours / plain", "min..max",
              "ours / step", "min..max", "steps", f"resizing {images} once")]
    for case, result in results.items():
        rounds = result["images_per_second"]
        lines.append((
            case, *(f"{statistics.median(each[side] for each in rounds):.1f}" for side in SIDES),
            *(cell for other in ("plain", "step")
              for cell in _ratio([each["ours"] / each[other] for each in rounds])),
            str(result["steps"]), f"{result['resizing']:.1f} s",
        ))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
                     for line in lines)


def _ratio(found: list[float]) -> tuple[str, str]:
    return f"{statistics.median(found):.2f}", f"{min(found):.2f}..{max(found):.2f}"


# --- The sides: each runs in a process of its own and trains when it is told to.


def _serve(options: argparse.Namespace, data: arrays.Arrays) -> None:
    """Say what this side is; then for each number of steps read, the seconds they took."""
    (case,) = options.cases
    portion, about = {"ours": _ours, "plain": _plain, "step": _step}[options.side](
        case, options, data)
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        print(json.dumps(portion(int(line))), flush=True)


def _build(case: str):
    """The model, from scratch; all sides start from the same weights."""
    import torch

    from unfreeze import models

    name, stem, size = CASES[case]
    torch.manual_seed(0)
    return models.build(name, stem, len(cifar10.CLASSES), size)


def _ours(case: str, options: argparse.Namespace, data: arrays.Arrays) -> tuple[Portion, dict]:
    """What replicate.train does for a run with `freeze: none`."""
    import torch

    from unfreeze import environment, models
    from unfreeze.data.batches import Augmentation, Images
    from unfreeze.training import devices, loop
    from unfreeze.training.randomness import generator
    from unfreeze.tuning import frozen, groups, rules

    name, _, size = CASES[case]
    device = devices.pick()
    start = time.perf_counter()
    images = Images(data.train_images, data.train_labels, range(options.images), size,
                    cifar10.MEAN, cifar10.STD, device=device.torch,
                    limit=environment.resized_limit(device.memory))
    device.synchronize()
    resizing = time.perf_counter() - start
    augmentation = Augmentation(crop_padding=PADDING, flip=True)
    rows = rules.part_table(models.facts_of(name).parts, "none", {})
    model = _build(case)
    frozen.install(model)
    groups.freeze(model, rows)
    model = model.to(device.torch, memory_format=torch.channels_last)
    optimizer = loop.make_optimizer(groups.parameter_groups(model, rows, LR, 0.0),
                                    {"optimizer": "sgd", "momentum": MOMENTUM})
    loop.set_training_mode(model, "eval")
    epochs = itertools.count()

    def portion(steps: int) -> float:
        batches = images.shuffled(options.batch_size, augmentation,
                                  generator(0, "order", next(epochs)))

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
                     "device": str(device.torch), "resizing": resizing}


def _step(case: str, options: argparse.Namespace, data: arrays.Arrays) -> tuple[Portion, dict]:
    """The model's step on one batch that is there."""
    import torch
    import torch.nn.functional as F

    from unfreeze.training import devices

    size, device = CASES[case][2], devices.pick()
    model = _build(case).to(device.torch, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM, fused=True)
    images = torch.randn(options.batch_size, 3, size, size, device=device.torch).contiguous(
        memory_format=torch.channels_last)
    labels = torch.arange(options.batch_size, device=device.torch) % len(cifar10.CLASSES)

    def train(count: int) -> None:
        for _ in range(count):
            with device.autocast():
                logits = model(images)
            F.cross_entropy(logits.float(), labels).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        device.synchronize()

    def portion(steps: int) -> float:
        train(WARM_UP)
        start = time.perf_counter()
        train(steps)
        return time.perf_counter() - start

    return portion, {}


def _plain(case: str, options: argparse.Namespace, data: arrays.Arrays) -> tuple[Portion, dict]:
    """The training loop as tutorials and the published write-ups have it."""
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
    model = _build(case).to(device)
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
