"""Trainings that test_pieces.py runs whole in its own process, and in two processes by calling this
file: pieces_cases.py FILE CASE ... writes {case: [history, tensors]}."""

import sys

import torch

from helpers import TINY, striped, tiny_recipe
from unfreeze import models
from unfreeze.training import devices, replicate
from unfreeze.training.devices import Device
from unfreeze.training.prefix import prefix_cache
from unfreeze.training.together import processes

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
    "attention": {"model": "vit_b_16", "image_size": 32, "freeze": "none", "tune": "lora",
                  "lora_rank": 2, "epochs": 1},
    "frozen layers kept, stochastic depth": {
        "model": "convnext_tiny", "image_size": 32, "freeze": {"train": ["stage4", "head"]},
        "epochs": 3, "lr": 0.01},
    "stochastic depth": {"model": "convnext_tiny", "image_size": 32, "freeze": "none",
                         "epochs": 1, "lr": 0.01},
}
LARGE = ("attention", "stochastic depth", "frozen layers kept, stochastic depth")
# Where no layer takes statistics over a batch.
DIVISIBLE = ("frozen layers kept", "frozen layers kept, stochastic depth", "frozen statistics",
             "attention", "stochastic depth")


def training(case):
    models.by_model()["tiny"] = TINY
    recipe = tiny_recipe(**SGD | CASES[case])
    size = recipe["knobs"]["image_size"]
    return replicate.Training(recipe, 1, DEVICE, replicate.Inputs(),
                              {"train": striped(size, 19, DEVICE.torch),
                               "validation": striped(size, 6, DEVICE.torch)}, case)


def finish(training):
    """[history without seconds, tensors]"""
    while not training.finished:
        training.epoch(lambda: None)
    return [[{key: value for key, value in row.items() if key != "seconds"}
             for row in training.history],
            {name: tensor.clone() for name, tensor in training.result().state_dict().items()}]


if __name__ == "__main__":
    prefix_cache._FLOPS_PER_BYTE = 0  # tiny layers count as much as large ones
    processes.begin(on_cpu=devices.wanted().type == "cpu")
    if devices.wanted().type == "cuda":
        DEVICE = devices.pick()
    results = {case: finish(training(case)) for case in sys.argv[2:]}
    if processes.rank() == 0:
        torch.save(results, sys.argv[1])
    processes.finish()
