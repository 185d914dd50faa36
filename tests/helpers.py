"""What several test files share. No torch here: the tests of config and rules do without."""

import copy
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]

# Every knob whose value a test relies on, pinned: the defaults in params.yaml may change.
PINNED = {
    "dataset": "cifar10", "fraction": 0.05, "validation": 0.1, "test_fraction": 0.2,
    "image_size": 64, "normalize": "dataset", "seeds": [42, 43],
    "model": "mobilenet_v2", "init": "pretrained", "stem": "original",
    "freeze": "none", "frozen_batchnorm": "eval",
    "epochs": 3, "batch_size": 64, "optimizer": "adam", "lr": 0.001, "lr_scale": {},
    "momentum": 0.9, "weight_decay": 0.0, "schedule": "cosine", "gamma": 0.9,
    "label_smoothing": 0.0, "flip": True, "crop_padding": 0, "rotation": 0,
}


def params(runs: dict | None = None, **knobs) -> dict:
    """The project's params.yaml with pinned knobs, then `knobs`, and with `runs` as its runs."""
    real = yaml.safe_load((ROOT / "params.yaml").read_text())
    return copy.deepcopy(
        real | PINNED | knobs | {"runs": {"base": {}} if runs is None else runs})
