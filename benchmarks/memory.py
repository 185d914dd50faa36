"""Activation memory of fine-tuning strategies beside the published training memory.

Ours is what autograd keeps for the backward pass (training/cost.py), counted, not measured: the
same on every machine. The published numbers are of training as a whole, measured in a way that is
not stated, and hold more: at least weights, gradients and the optimizer's state. So compare how
rows stand to `full`, and what a larger batch adds, rather than the numbers themselves.

Usage: python benchmarks/memory.py [--image-size 224]
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import torch  # noqa: E402
from torchvision.models import mobilenet_v2  # noqa: E402

from unfreeze.errors import run_stage  # noqa: E402
from unfreeze.training import cost, loop  # noqa: E402

CLASSES, BATCH = 10, 64  # beside batch 1


def full(model: torch.nn.Module) -> None:
    """Trains everything."""


def last(model: torch.nn.Module) -> None:
    """Trains the classifier."""
    model.requires_grad_(False)
    model.classifier.requires_grad_(True)


# Each makes of a whole network the one that is trained: inserts its method, freezes the rest.
STRATEGIES: dict[str, Callable[[torch.nn.Module], None]] = {"full": full, "last": last}

# Training memory of MobileNetV2 in MB at batch 1 and 64, as the published study of strategies
# states it. (TinyTL: Cai et al. 2020, https://arxiv.org/abs/2007.11622.)
PUBLISHED = {"full": (1756, 6225), "tinytl": (815, 3125), "last": (1157, 5426)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--image-size", type=int, default=224, help="pixels (default: 224)")
    print(table(parser.parse_args().image_size))


def table(image_size: int) -> str:
    """A markdown table, a row for each strategy that is ours or published."""
    lines = [f"| strategy | trained parameters | activations, batch 1 (MB) | batch {BATCH} (MB) | "
             f"published, batch 1 (MB) | batch {BATCH} (MB) |",
             "|---|---:|---:|---:|---:|---:|"]
    for name in dict.fromkeys((*STRATEGIES, *PUBLISHED)):
        ours = _count(name, image_size) if name in STRATEGIES else ["-"] * 3
        published = [f"{megabytes:,}" for megabytes in PUBLISHED[name]] if name in PUBLISHED else (
            ["-"] * 2)
        lines.append(f"| {' | '.join([name, *ours, *published])} |")
    return "\n".join(lines)


def _count(strategy: str, image_size: int) -> list[str]:
    """Trained parameters, and activation memory at both batch sizes."""
    model = mobilenet_v2(num_classes=CLASSES)
    STRATEGIES[strategy](model)
    prepare = partial(loop.set_training_mode, frozen_batchnorm="eval")
    found = cost.count(model, image_size, BATCH, CLASSES, prepare)
    return [f"{found['parameters_trainable']:,}", f"{found['activation_bytes_1'] / 1e6:,.3f}",
            f"{found['activation_bytes'] / 1e6:,.3f}"]


if __name__ == "__main__":
    run_stage(main)
