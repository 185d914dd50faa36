"""Trainings that tests run whole in their own process, and in several processes by calling this
file: trainings.py FILE CASE ... writes {case: [history, tensors]}; the case BatchNorm checks that
layer alone."""

import sys

import torch
from torch import nn

import tiny_models
from helpers import striped, tiny_recipe
from unfreeze import places
from unfreeze.training import devices, replicate
from unfreeze.training.devices import Device
from unfreeze.training.memory import MicroBatches
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


def check_batch_norm():
    """BatchNorm of all processes beside that of one which sees the whole batch; the sizes of the
    batches."""
    torch.manual_seed(0)
    whole, shared = nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(3))
    shared[0].load_state_dict(whole.state_dict())
    micro_batches, sizes = MicroBatches(shared), [8, 5, 2]
    for images in sizes:
        whole.zero_grad(), shared.zero_grad()
        x = 3 + 2 * torch.randn(images, 3, 4, 4)
        weights = torch.randn_like(x)
        part, every = x.clone().requires_grad_(), x.clone().requires_grad_()
        (whole(every) * weights).sum().backward()
        for rows, share in micro_batches.of(images):
            (shared(part[rows]) * weights[rows]).sum().mul(share).backward()
        pairs = [(reduce.total(part.grad), every.grad)]
        reduce.total_gradients(shared.parameters())
        pairs += [(one.grad, other.grad) for one, other in
                  zip(shared.parameters(), whole.parameters(), strict=True)]
        pairs += [(shared[0].get_buffer(name), buffer) for name, buffer in whole.named_buffers()]
        for one, other in pairs:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    return sizes


if __name__ == "__main__":
    tiny_models.install()
    feed.FLOPS_PER_BYTE = 0  # tiny layers count as much as large ones
    launch.begin(on_cpu=devices.wanted().type == "cpu")
    if devices.wanted().type == "cuda":
        DEVICE = devices.pick()
    results = {case: check_batch_norm() if case == "BatchNorm" else finish(training(case))
               for case in sys.argv[2:]}
    if reduce.rank() == 0:
        torch.save(results, sys.argv[1])
    launch.finish()
