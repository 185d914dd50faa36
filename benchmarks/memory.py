"""Activation memory of fine-tuning strategies beside the published training memory.

Ours is what autograd keeps for the backward pass (training/cost.py), counted, not measured: the
same on every machine; beside it the same model in torch's own layers, which keep more than what
trains needs (tuning/lean.py). The published numbers are of training as a whole, measured in a
way that is not stated, and hold more: at least weights, gradients and the optimizer's state. So
compare how rows stand to `full`, and what a larger batch adds, rather than the numbers themselves.

Then ways of tuning a transformer, ViT-B/16, with the default of every knob: what each trains, keeps
and computes.

Usage: python benchmarks/memory.py [--image-size 224]
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from unfreeze import models  # noqa: E402
from unfreeze.models.with_torch.outline import on_meta  # noqa: E402
from unfreeze.params.knobs import KNOBS as KNOWN  # noqa: E402
from unfreeze.stage import run_stage  # noqa: E402
from unfreeze.training import cost, loop  # noqa: E402
from unfreeze.tuning import groups, lean, rules  # noqa: E402

MODEL, CLASSES, BATCH = "mobilenet_v2", 10, 64  # beside batch 1
KNOBS = {name: knob.default for name, knob in KNOWN.items()}

# {name: what `tune` and `freeze` are}
STRATEGIES = {
    "full": ("full", "none"),
    "norm": ("norm", "none"),
    "ssf": ("ssf", "none"),
    "dora": ("dora", "none"),
    "lora": ("lora", "none"),
    "tinytl": ("tinytl", "none"),
    "bias": ("bias", "none"),
    "last stage": ("full", {"last": 1}),
    "last": ("full", "last_only"),
}

# Of a transformer
TRANSFORMER = "vit_b_16"
WAYS = ("full", "norm", "ssf", "dora", "lora", "convpass", "adaptformer", "vpt", "bias")

# Training memory of MobileNetV2 in MB at batch 1 and 64, as the published study of strategies
# states it. (TinyTL: Cai et al. 2020, https://arxiv.org/abs/2007.11622.)
PUBLISHED = {"full": (1756, 6225), "tinytl": (815, 3125), "last": (1157, 5426)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--image-size", type=int, default=224, help="pixels (default: 224)")
    image_size = parser.parse_args().image_size
    print(table(image_size))
    print(f"\n{table_of_transformer(image_size)}")


def table(image_size: int) -> str:
    """A markdown table, a row for each strategy."""
    lines = [f"| strategy | trained parameters | activations, batch 1 (MB) | batch {BATCH} (MB) | "
             f"batch {BATCH} in torch's own layers (MB) | published, batch 1 (MB) | batch {BATCH} "
             "(MB) |",
             "|---|---:|---:|---:|---:|---:|---:|"]
    for name, (tune, freeze) in STRATEGIES.items():
        ours = _count(MODEL, tune, freeze, image_size)
        with mock.patch.multiple(lean, LEAN={}, MASKED={}):
            plain = _count(MODEL, tune, freeze, image_size)
        cells = [f"{ours['parameters_trainable']:,}", f"{ours['activation_bytes_1'] / 1e6:,.2f}",
                 f"{ours['activation_bytes'] / 1e6:,.1f}",
                 f"{plain['activation_bytes'] / 1e6:,.1f}",
                 *(f"{megabytes:,}" for megabytes in PUBLISHED.get(name, ()))]
        lines.append(f"| {' | '.join([name, *cells, *['-'] * (6 - len(cells))])} |")
    return "\n".join(lines)


def table_of_transformer(image_size: int) -> str:
    """A markdown table, a row for each way of tuning a transformer, all of whose blocks train."""
    lines = ["| `tune` | trained parameters | activations, batch 1 (MB) | "
             f"batch {BATCH} (MB) | operations of an image, forward (GFLOP) | backward (GFLOP) |",
             "|---|---:|---:|---:|---:|---:|"]
    for tune in WAYS:
        found = _count(TRANSFORMER, tune, "none", image_size)
        lines.append(
            f"| {tune} | {found['parameters_trainable']:,} | "
            f"{found['activation_bytes_1'] / 1e6:,.1f} | {found['activation_bytes'] / 1e6:,.0f} | "
            f"{found['flops_forward'] / 1e9:.1f} | {found['flops_backward'] / 1e9:.1f} |")
    return "\n".join(lines)


def _count(name: str, tune: str, freeze: object, image_size: int) -> dict[str, int]:
    facts = models.facts_of(name)
    rows = rules.part_table(facts.parts, freeze, {}, tune=tune)

    def build():
        model = models.build(name, "original", CLASSES, image_size)
        groups.insert(model, [rows], facts, KNOBS, image_size)
        lean.install(model)
        return model

    model = on_meta(build)
    groups.freeze(model, rows)
    prepare = partial(loop.set_training_mode, frozen_batchnorm="eval")
    return cost.count(model, image_size, BATCH, CLASSES, prepare)


if __name__ == "__main__":
    run_stage(main)
