"""A batch in micro-batches, where memory is full, is the batch as a whole."""

import os
import re
import subprocess
import sys

import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

import tiny_models
from helpers import ROOT
from trainings import DIVISIBLE, finish, training
from unfreeze.training.memory import MicroBatches
from unfreeze.training.prefix import feed

ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT / "tests"))), "OMP_NUM_THREADS": "1",
    "UNFREEZE_DEVICE": "cpu"}


@pytest.fixture(autouse=True)
def scratch(monkeypatch, tmp_path):
    tiny_models.install(monkeypatch)
    monkeypatch.setattr(feed, "FLOPS_PER_BYTE", 0)
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))


def check_close(one, other):
    for row, same in zip(one[0], other[0], strict=True):
        assert row == pytest.approx(same, rel=1e-3, abs=1e-5)
    torch.testing.assert_close(one[1], other[1], rtol=1e-3, atol=1e-4)


def fill_memory(training, room, when):
    """More than `room` images at a time do not fit into memory, in one of the two passes."""
    layer = next(module for module in reversed(list(training.setting.model.modules()))
                 if isinstance(module, nn.Linear | nn.Conv2d))
    full = []

    def refuse(images):
        if images > room:
            full.append(images)
            raise torch.OutOfMemoryError("made up")

    if when == "forward":
        layer.register_forward_pre_hook(lambda layer, given: refuse(len(given[0])))
    else:
        def watch(layer, given, found):
            if found.requires_grad:
                found.register_hook(lambda gradient: refuse(len(gradient)))

        layer.register_forward_hook(watch)
    return full


@pytest.mark.parametrize("when", ["forward", "backward"])
@pytest.mark.parametrize("case", DIVISIBLE)
def test_full_memory_changes_no_more_than_rounding(case, when):
    whole, divided = training(case), training(case)
    full = fill_memory(divided, 3, when)
    check_close(finish(divided), finish(whole))
    steps = [images for images in full if images <= 8]
    assert steps[:2] == [8, 4]  # found out once, in the first steps; validation goes by itself
    assert divided.setting.micro_batches.count == 4


def test_statistics_over_a_batch_cannot_be_divided():
    divided = training("batch statistics and dropout")
    fill_memory(divided, 3, "forward")
    with pytest.raises(torch.OutOfMemoryError):
        divided.epoch(lambda: None)
    assert divided.setting.micro_batches.count == 1


def test_a_phase_that_cannot_be_divided_is_not_divided_like_the_one_before():
    divided = training("phases")
    full = fill_memory(divided, 3, "forward")
    for _ in range(3):
        divided.epoch(lambda: None)
    assert len(full) > 1
    with pytest.raises(torch.OutOfMemoryError):
        divided.epoch(lambda: None)  # of the phase that follows
    assert divided.setting.micro_batches.count == 1


def test_an_image_that_does_not_fit_is_an_error():
    divided = training("frozen statistics")
    fill_memory(divided, 0, "forward")
    with pytest.raises(torch.OutOfMemoryError):
        divided.epoch(lambda: None)


def test_other_errors_are_not_taken_for_full_memory():
    broken = training("frozen statistics")
    broken.setting.model.head.register_forward_pre_hook(lambda layer, given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        broken.epoch(lambda: None)


@pytest.mark.parametrize("layer", [
    nn.Dropout(0.5), nn.Dropout(0.5, inplace=True), nn.Dropout2d(0.5),
    StochasticDepth(0.5, "row"), StochasticDepth(0.5, "batch")], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_micro_batches_draw_what_the_whole_draws(layer, layout):
    x = torch.rand(6, 4, 3, 3).contiguous(memory_format=layout)
    model = nn.Sequential(layer, nn.Conv2d(4, 4, 1)).train()
    torch.manual_seed(0)
    whole, following = layer(x.clone()), torch.rand(3)
    divided = MicroBatches(model)
    assert divided.halve(6) and divided.halve(6)
    torch.manual_seed(0)
    parts = [layer(x[rows].clone()) for rows, _ in divided.of(6)]
    assert len(parts) == 3
    torch.testing.assert_close(torch.cat(parts), whole)
    assert torch.equal(torch.rand(3), following)  # as if nothing had been divided


def test_memory_that_is_really_full():
    """The system gives the process no more than what half a batch needs."""
    script = """
import resource, torch
from torch import nn
from unfreeze.training import devices, loop
from unfreeze.training.memory import MicroBatches
device = devices.pick()
model = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Flatten(),
                      nn.Linear(65536, 2))
optimizer = torch.optim.SGD(model.parameters(), 0.1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (125 << 20), resource.RLIM_INFINITY))
batch = torch.rand(512, 3, 32, 32), torch.arange(512) % 2
micro_batches = MicroBatches(model)
loop.train_epoch(model, optimizer, [batch], device, loop.Step(), lambda: None, micro_batches)
print("micro-batches", micro_batches.count)
"""
    # Started cold: a warm process holds memory of which the limit knows nothing.
    done = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, text=True,
                          capture_output=True)
    assert done.returncode == 0, done.stderr
    assert int(re.search(r"micro-batches (\d+)", done.stdout)[1]) > 1
