"""What only a GPU can show. Run with -m cuda; UNFREEZE_REHEARSE=1 runs on a CPU what can run there,
so that it does not fail on the day for another reason.

Imports nothing but what training imports: a machine with a GPU may have no more.
"""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch

import tiny_models
import trainings
from helpers import ROOT, plain
from unfreeze import models
from unfreeze.data.reading.augmentation import Chain
from unfreeze.data.reading.images import Images
from unfreeze.data.reading.mixing import mix
from unfreeze.data.reading.row_file import RowFile, read_ahead
from unfreeze.params.knobs import KNOBS as KNOWN
from unfreeze.training import devices, loop
from unfreeze.training.memory import MicroBatches
from unfreeze.training.prefix import feed
from unfreeze.training.randomness import generator
from unfreeze.training.regularise import Average
from unfreeze.tuning import groups, lean, rules

pytestmark = pytest.mark.cuda
KNOBS = {"optimizer": "sgd", "lr": 0.01, "momentum": 0.9}
REHEARSED = bool(os.environ.get("UNFREEZE_REHEARSE")) and not torch.cuda.is_available()
needs_gpu = pytest.mark.skipif(REHEARSED, reason="needs a GPU")


def _generator(epoch: int, purpose: str) -> torch.Generator:
    return generator(0, purpose, epoch)


def train(name: str, stem: str, freeze: object, tune: str = "full", policy: str = "none",
          **step) -> torch.Tensor:
    device = devices.pick()
    assert device.torch.type == "cuda" or REHEARSED
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (96, 32, 32, 3), dtype=np.uint8), np.arange(96) % 10,
                    list(range(96)), plain(64), device.torch, 10**9)
    torch.manual_seed(0)
    facts = models.facts_of(name)
    parts = rules.part_table(facts.parts, freeze, {}, tune=tune)
    model = models.build(name, stem, 10, 64)
    groups.insert(model, [parts], facts, {name: knob.default for name, knob in KNOWN.items()}, 64)
    lean.install(model)
    model = model.to(device.torch, memory_format=torch.channels_last)
    groups.freeze(model, parts)
    average = Average(model, 0.9)
    optimizer = loop.make_optimizer(groups.parameter_groups(model, parts, 0.01, 0.0), KNOBS)
    augmentation = Chain({"rotation": 10, "crop_padding": 4, "flip": True, "augment": policy})
    for epoch in range(2):
        loop.set_training_mode(model, "eval")
        batches = images.shuffled(32, augmentation,
                                  partial(_generator, epoch))
        torch.manual_seed(epoch)
        random = generator(0, "mix", epoch)
        loss, _ = loop.train_epoch(
            model, optimizer, batches, device, loop.Step(
                after=average.update, **step,
                mix=partial(mix, classes=10, mixup=0.2, cutmix=1.0, random=random)),
            lambda: None)
        assert np.isfinite(loss)
    logits = loop.predict(model, images.batches(48), device)
    with average.applied():
        return torch.cat([logits, loop.predict(model, images.batches(48), device)])


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
@pytest.mark.parametrize("stem", ["original", "cifar"])
@pytest.mark.parametrize("freeze", ["none", "early", "last_only"])
def test_every_model_trains_deterministically(name, stem, freeze):
    assert torch.equal(train(name, stem, freeze), train(name, stem, freeze))


@pytest.mark.parametrize(("name", "tune"), [
    ("resnet18", "bias"), ("mobilenet_v2", "norm"), ("resnet18", "lora"), ("vit_b_16", "lora"),
    ("mobilenet_v2", "tinytl"), ("resnet18", "dora"), ("mobilenet_v2", "ssf"),
    *(("vit_b_16", tune) for tune in ("dora", "ssf", "adaptformer", "convpass", "vpt"))])
def test_every_method_trains_deterministically(name, tune):
    options = {"accumulate": 2, "clip_norm": 1.0, "label_smoothing": 0.1, "policy": "trivial"}
    assert torch.equal(train(name, "original", "none", tune, **options),
                       train(name, "original", "none", tune, **options))


def test_rows_read_ahead_are_those_of_the_file(tmp_path):
    device = devices.pick()
    np.save(tmp_path / "rows.npy", np.arange(640 * 3000, dtype=np.uint32).astype(np.uint8)
            .reshape(640, 3000))
    batches = np.random.default_rng(0).permutation(640).reshape(20, 32)
    rows = RowFile(tmp_path / "rows.npy")
    for batch, found in zip(batches, read_ahead(rows, list(batches), device.torch), strict=True):
        assert found.device.type == "cuda" or REHEARSED
        busy = torch.rand(2000, 2000, device=device.torch)
        busy = busy @ busy  # the memory is still in use when the next rows are copied
        assert torch.equal(found.cpu(), torch.from_numpy(rows[batch]))


@needs_gpu
def test_memory_that_is_full_is_divided():
    device = devices.pick()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 256, 3, padding=1), torch.nn.ReLU(),
                                torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
                                torch.nn.Linear(256, 2)).to(device.torch)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    batch = torch.rand(256, 3, 64, 64, device=device.torch), torch.zeros(
        256, dtype=torch.long, device=device.torch)
    micro_batches = MicroBatches(model)
    torch.cuda.set_per_process_memory_fraction(500e6 / total)
    try:
        loop.train_epoch(model, optimizer, [batch], device, loop.Step(), lambda: None,
                         micro_batches)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert micro_batches.count > 1


@needs_gpu
def test_tf32_is_between_the_precisions(monkeypatch):
    x = torch.rand(512, 512, device="cuda", generator=torch.Generator("cuda").manual_seed(0))
    products = {}
    for precision in ("fp32", "tf32"):
        monkeypatch.setenv("UNFREEZE_PRECISION", precision)
        assert devices.pick().precision == precision
        products[precision] = ((x @ x).double() - x.double() @ x.double()).abs().max().item()
    assert products["fp32"] < products["tf32"] < 1


@pytest.mark.parametrize("case", ["batch statistics", "all that a step can do",
                                  "frozen layers kept"])
def test_compiled_training_is_training_and_repeats_bit_for_bit(monkeypatch, tmp_path, case):
    monkeypatch.setitem(trainings.CASES, "batch statistics", {
        # Few steps and small ones: differences of rounding grow with each.
        "model": "resnet18", "image_size": 32, "freeze": "none", "lr": 0.001, "epochs": 1})
    tiny_models.install(monkeypatch)
    monkeypatch.setattr(feed, "FLOPS_PER_BYTE", 0)
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path))
    monkeypatch.setenv("UNFREEZE_PRECISION", "fp32")
    monkeypatch.setattr(trainings, "DEVICE", devices.pick())
    as_it_is = trainings.finish(trainings.training(case))
    monkeypatch.setenv("UNFREEZE_COMPILE", "on")
    once, again = (trainings.finish(trainings.training(case)) for _ in range(2))
    torch.testing.assert_close(once[1], again[1], rtol=0, atol=0)
    if case == "batch statistics":  # the tiny model has dropout, which draws other numbers there
        torch.testing.assert_close(once[1], as_it_is[1], rtol=0.01, atol=0.01)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_what_one_does(tmp_path):
    results = []
    for count in ("1", "2"):
        file = tmp_path / f"{count}.pt"
        subprocess.run(
            [sys.executable, ROOT / "tests" / "trainings.py", file, "all that a step can do"],
            check=True, timeout=600, env=os.environ | {
                "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT / "tests"))),
                "UNFREEZE_PROCESSES": count, "UNFREEZE_DEVICE": "cuda",
                "UNFREEZE_PRECISION": "fp32", "UNFREEZE_SCRATCH": str(tmp_path / count)})
        results.append(torch.load(file, map_location="cpu")["all that a step can do"][1])
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-4)
