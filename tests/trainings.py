"""Trainings that tests run whole in their own process, and in several processes by calling this
file: trainings.py FILE CASE ... writes {case: [history, tensors]}."""

import sys

import torch

import tiny_models
from helpers import striped, tiny_recipe
from unfreeze import places
from unfreeze.training import devices, replicate
from unfreeze.training.devices import Device
from unfreeze.training.prefix import feed
from unfreeze.training.setting import set_up
from unfreeze.training.together import launch, reduce

DEVICE = Device(torch.device("cpu"), "fp32", "test")
SGD = {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "batch_size": 8, "epochs": 3, "flip": True}
# 3 images are left for the last batch of 8.
CASES = {
    "batch statistics and dropout": {"freeze": "none"},
    "all that a step can do": {
        "freeze": "none", "accumulate": 2, "mixup": 0.4, "cutmix": 1.0, "ema": 0.8, "l2_sp": 0.01,
        "clip_norm": 0.5, "label_smoothing": 0.1, "rotation": 10, "patience": 1},
    "phases": {"freeze": "none", "phases": [{"freeze": "last_only", "epochs": 3},
                                            {"freeze": "none", "epochs": 1}]},
    "frozen layers kept": {"freeze": "last_only", "epochs": 4},
    "batches of two images": {"freeze": "none", "batch_size": 2},
    "frozen statistics": {"freeze": {"train": ["stage2", "head"]}},
    "small layers": {"model": "cnn", "image_size": 32, "freeze": "none", "dropout": 0.5},
    "attention": {"model": "tiny_vit", "freeze": "none", "tune": "lora", "lora_rank": 2},
    "frozen layers kept, stochastic depth": {
        "model": "tiny_convnext", "freeze": {"train": ["stage2", "head"]}},
    "stochastic depth": {"model": "tiny_convnext", "freeze": "none"},
}
# Where no layer takes statistics over a batch.
DIVISIBLE = ("frozen layers kept", "frozen layers kept, stochastic depth", "frozen statistics",
             "attention", "stochastic depth")


def training(case):
    """A replicate about to be trained."""
    recipe = tiny_recipe(**SGD | CASES[case])
    size = recipe.preprocessing.image_size
    splits = {"train": striped(size, 19, DEVICE.torch),
              "validation": striped(size, 6, DEVICE.torch)}
    return replicate.Replicate(set_up(recipe, 1, DEVICE, places.WEIGHTS, splits, case))


def finish(training):
    """[history without seconds, tensors]"""
    while not training.finished:
        training.epoch(lambda: None)
    return [[{key: value for key, value in row.items() if key != "seconds"}
             for row in training.history],
            {name: tensor.clone() for name, tensor in training.model().state_dict().items()}]


if __name__ == "__main__":
    tiny_models.install()
    feed.FLOPS_PER_BYTE = 0  # tiny layers count as much as large ones
    launch.begin(on_cpu=devices.wanted().type == "cpu")
    if devices.wanted().type == "cuda":
        DEVICE = devices.pick()
    results = {case: finish(training(case)) for case in sys.argv[2:]}
    if reduce.rank() == 0:
        torch.save(results, sys.argv[1])
    launch.finish()
