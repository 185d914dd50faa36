"""What several test files share. No torch here: the tests of params and rules do without."""

import copy
import functools
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import yaml

from unfreeze.errors import UserError
from unfreeze.fetching.assets import Asset
from unfreeze.models.facts import Model, Weights
from unfreeze.params.knobs import KNOBS, PLUGIN_KNOBS
from unfreeze.params.plan import Run
from unfreeze.params.settle import resolve
from unfreeze.recipe import PinnedDataset, PinnedSubset, PinnedWeights, Preprocessing, Recipe

ROOT = Path(__file__).resolve().parents[1]

# Every knob whose value a test relies on, pinned: the defaults in params.yaml may change.
PINNED = {
    "dataset": "cifar10", "skip_broken": False, "fraction": 0.05, "per_class": 0,
    "validation": 0.1, "train_on": "train", "test_fraction": 0.2,
    "image_size": 64, "resize": "square", "normalize": "dataset", "seeds": [42, 43],
    "model": "mobilenet_v2", "init": "pretrained", "stem": "original", "head": "replace",
    "head_width": 256, "dropout": "model",
    "freeze": "none", "frozen_batchnorm": "eval", "tune": "full",
    "adaptformer_width": 64, "adaptformer_scale": 0.1, "convpass_width": 8, "convpass_scale": 1.0,
    "lora_rank": 8, "lora_alpha": 8, "lora_layers": "all", "tinytl_groups": 2, "vpt_depth": "deep",
    "vpt_tokens": 10, "l2_sp": 0.0,
    "phases": [], "epochs": 3, "batch_size": 64, "accumulate": 1, "threads": 1,
    "optimizer": "adam", "lr": 0.001,
    "lr_scale": {}, "lr_decay": 1.0, "momentum": 0.9, "weight_decay": 0.0,
    "decay_biases_and_norms": True, "schedule": "cosine", "gamma": 0.9, "warmup_epochs": 0,
    "label_smoothing": 0.0, "class_weights": "none", "clip_norm": 0.0, "ema": 0.0,
    "select": "last", "patience": 0,
    "augment": "none", "flip": True, "crop_padding": 0, "rotation": 0, "mixup": 0.0, "cutmix": 0.0,
    "search": {}, "search_seeds": [0], "search_folds": "auto", "choose_by": "cross_entropy",
}


def in_git(pattern: str) -> list[Path]:
    """Files of the project that git has, of a pattern, sorted: not those of studies of whoever
    works here."""
    found = subprocess.run(["git", "ls-files", f":(glob){pattern}"], cwd=ROOT, text=True,
                           capture_output=True, check=True).stdout
    return sorted(ROOT / line for line in found.splitlines())


def params(runs: dict | None = None, **knobs) -> dict:
    """The project's params.yaml with pinned knobs, then `knobs`, and with `runs` as its runs;
    nothing is compared or claimed about them unless `knobs` says so."""
    return copy.deepcopy(_real_params() | PINNED | {"compare": {}, "claims": [], "budget": {}}
                         | knobs | {"runs": {"base": {}} if runs is None else runs})


@functools.cache
def _real_params() -> dict:
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def message(given: dict, *words: str) -> str:
    """What is wrong with some params, which is one line and has these words."""
    import pytest

    with pytest.raises(UserError) as caught:
        resolve(given)
    text = str(caught.value)
    assert text.startswith("params.yaml: ") and len(text.splitlines()) == 1
    for word in words:
        assert word in text
    return text


def _build_tiny(name, stem, classes, image_size):
    from torch import nn

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU())
            self.stage1 = nn.Sequential(nn.Conv2d(6, 6, 3, 1, 1), nn.BatchNorm2d(6), nn.ReLU())
            self.stage2 = nn.Sequential(nn.Conv2d(6, 8, 3, 1, 1), nn.Dropout(0.1), nn.ReLU())
            self.head = nn.Linear(8, classes)

        def forward(self, x):
            return self.head(self.stage2(self.stage1(self.stem(x))).mean((2, 3)))

    return Tiny()


# A family as a file of models/ would offer it, for
# monkeypatch.setitem(models.by_model(), "tiny", TINY).
TINY = SimpleNamespace(
    MODELS={"tiny": Model(
        parts={"stem": ("stem",), "stage1": ("stage1",), "stage2": ("stage2",),
               "head": ("head",)},
        strides={"original": 2}, last="head",
        weights={"V1": Weights(name="tiny-v1", digest="", sha256_prefix="",
                               asset=Asset(title="tiny", url="http://127.0.0.1:9/tiny.pth"))})},
    build=_build_tiny,
)


def tiny_recipe(digest: str | None = None, **knobs) -> Recipe:
    """What the stage pin makes of a run of that family, in three classes and from scratch unless
    the digest of its weights is given."""
    start = {"model": "tiny", "image_size": 8, "batch_size": 8, "seeds": [1],
             "init": "pretrained" if digest else "scratch"}
    run = resolve(params(**(start | knobs))).runs["base"]
    return recipe_of(run, classes=("a", "b", "c"),
                     weights=digest and PinnedWeights("tiny-v1", digest, own=False))


def tuned(recipe: Recipe, tune: str, **own) -> Recipe:
    """A recipe as from weights, which are nowhere, and tuned in a way: what starts from scratch is
    trained in full.

    Args:
        own: knobs of the way of tuning; the others have their defaults.
    """
    names = PLUGIN_KNOBS["tune"][tune]
    knobs = {name: own.get(name, KNOBS[name].default) for name in names}
    return replace(recipe, knobs={**recipe.knobs, "tune": tune, **knobs},
                   weights=PinnedWeights("nowhere", "none", own=False))


def recipe_of(run: Run, classes: tuple[str, ...], weights: PinnedWeights | None) -> Recipe:
    """The recipe of a settled run, of a dataset that is nowhere."""
    made = run.preprocessing
    return Recipe(
        run.training_knobs, run.augmentations, run.phases,
        Preprocessing(made.image_size, made.resize, made.interpolation, made.mean, made.std),
        PinnedDataset("none", "none", classes), weights,
        {seed: PinnedSubset("none.json", "none") for seed in run.knobs["seeds"]},
        software={}, code="none")


def striped(size: int, count: int, device):
    """`count` made-up images with a side of `size` pixels, as a split on a torch.device: three
    classes, each brighter in a channel of its own."""
    import numpy as np

    from unfreeze.data.reading.images import Images

    rng = np.random.default_rng(count)
    labels = np.arange(count) % 3
    pixels = rng.integers(0, 200, (count, size, size, 3))
    pixels[np.arange(count), :, :, labels] += 30
    return Images(pixels.astype(np.uint8), labels, range(count), plain(size), device, 10**9)


def plain(size: int) -> Preprocessing:
    """Straight to a square of that many pixels."""
    return Preprocessing(size, "square", "bilinear", (0.5,) * 3, (0.25,) * 3)
