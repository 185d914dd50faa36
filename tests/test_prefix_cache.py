"""Training on kept outputs of frozen layers is training, bit for bit, wherever the cache is on."""

import errno
import os
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import tiny_models
from helpers import TINY, striped, tiny_recipe, tuned
from unfreeze import environment, models, places
from unfreeze.data.reading.row_file import RowFile
from unfreeze.training import devices, replicate
from unfreeze.training.devices import Device
from unfreeze.training.prefix import feed
from unfreeze.training.prefix.activations import Recomputed
from unfreeze.training.setting import set_up

torch.set_num_threads(1)

CPU = Device(torch.device("cpu"), "fp32", "test")
BF16 = Device(torch.device("cpu"), "bf16", "test")
SLOW = {"alexnet": 64, "convnext_tiny": 64, "densenet121": 64, "efficientnet_b0": 64,
        "googlenet": 64, "inception_v3": 96, "maxvit_t": 224, "mnasnet0_5": 64,
        "mobilenet_v3_small": 64, "regnet_y_400mf": 64, "resnet50": 64, "shufflenet_v2_x0_5": 64,
        "squeezenet1_1": 64, "swin_t": 64, "swin_v2_t": 64, "vgg16": 32}
SLOW |= {"mobilenet_v2": 64, "resnet18": 32, "vit_b_16": 32}
SIZES = {"tiny": 8, "tiny_vit": 8, "tiny_convnext": 8, "cnn": 32} | SLOW
METHODS = {
    "alexnet": ("bias", "lora"), "cnn": ("bias", "lora"),
    "tiny": ("bias", "lora", "dora", "ssf"),
    "tiny_vit": ("bias", "lora", "norm", "dora", "ssf", "adaptformer", "convpass", "vpt"),
    "vit_b_16": ("bias", "lora", "norm"),
    "mobilenet_v2": ("bias", "lora", "norm", "tinytl"),
    "resnet18": ("bias", "lora", "norm", "tinytl", "dora", "ssf"),
    "swin_t": ("bias", "lora", "norm", "ssf", "adaptformer", "convpass")}
DEFAULT = {"tiny": METHODS["tiny"], "tiny_vit": METHODS["tiny_vit"], "mobilenet_v2": ("tinytl",)}


@pytest.fixture(autouse=True)
def always(monkeypatch, tmp_path):
    """A scratch folder of one's own; tiny layers count as much as large ones."""
    monkeypatch.setattr(feed, "FLOPS_PER_BYTE", 0)
    tiny_models.install(monkeypatch)
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("UNFREEZE_PREFIX_GB", "10")


def splits(size, train=7, validation=3, device=CPU):
    counts = {"train": train, "validation": validation, "test": 2}
    return {split: striped(size, count, device.torch) for split, count in counts.items()}


def recipe(model="tiny", size=8, **knobs):
    """What the stage pin makes of a run from scratch."""
    return tiny_recipe(**{"model": model, "image_size": size, "batch_size": 4, "epochs": 3,
                          "freeze": "last_only", "lr": 0.01, "lora_rank": 2} | knobs)


def train(recipe, splits, device=CPU, gigabytes="10", seed=1):
    """(history without seconds, tensors) of a replicate."""
    os.environ["UNFREEZE_PREFIX_GB"] = gigabytes
    training = begin(recipe, splits, device, seed)
    while not training.finished:
        training.epoch(lambda: None)
    return without_seconds(training.history), {
        name: t.clone() for name, t in training.model().state_dict().items()}


def begin(recipe, splits, device=CPU, seed=1, state=None):
    """A replicate about to be trained, or to go on from a state."""
    return replicate.Replicate(
        set_up(recipe, seed, device, places.WEIGHTS, splits, "run"), state)


def without_seconds(history):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def said(capsys):
    return re.findall(r"^run: prefix cache (.*)$", capsys.readouterr().out, re.MULTILINE)


def check_same(one, other):
    assert one[0] == other[0]
    assert one[1].keys() == other[1].keys()
    for name, tensor in one[1].items():
        assert torch.equal(tensor, other[1][name]), name


def check_cached(capsys, recipe, splits, device=CPU):
    cached = train(recipe, splits, device)
    assert all(line.startswith("on: ") for line in said(capsys))
    plain = train(recipe, splits, device, gigabytes="0")
    assert all(line == "off: UNFREEZE_PREFIX_GB is 0" for line in said(capsys))
    check_same(cached, plain)
    assert len({row["train_loss"] for row in cached[0]}) == len(cached[0])  # it did train


@pytest.mark.parametrize("freeze", ["last_only", {"last": 1}], ids=str)
@pytest.mark.parametrize("model", [name if name not in SLOW else
                                   pytest.param(name, marks=pytest.mark.slow) for name in SIZES])
def test_every_family(capsys, model, freeze):
    check_cached(capsys, recipe(model, SIZES[model], freeze=freeze), splits(SIZES[model]))


@pytest.mark.parametrize("model, method", [
    pytest.param(model, method, marks=[] if method in DEFAULT.get(model, ()) else pytest.mark.slow)
    for model, methods in METHODS.items() for method in methods])
def test_every_method_on_the_last_stage(capsys, model, method, monkeypatch):
    monkeypatch.setattr("unfreeze.training.assemble._load", lambda *_: [])
    given = tuned(recipe(model, SIZES[model], freeze={"last": 1}), method, lora_rank=2)
    check_cached(capsys, given, splits(SIZES[model]))


@pytest.mark.parametrize("knobs", [
    {"flip": False}, {"flip": False, "epochs": 2}, {"head": "append"}, {"head": "mlp"},
    {"dropout": 0.5, "head": "mlp"}, {"freeze": ["stem", "stage1"]}, {"ema": 0.9},
    {"select": "best"}, {"patience": 1}, {"accumulate": 2}, {"clip_norm": 0.1},
    {"label_smoothing": 0.1}, {"batch_size": 5}, {"batch_size": 64},
    {"phases": [{"freeze": "none", "epochs": 1}, {"freeze": "last_only", "epochs": 4},
                {"freeze": ["stem"], "epochs": 3}]},
], ids=str)
def test_every_knob(capsys, knobs):
    given = recipe(**knobs)
    cached = train(given, splits(8))
    lines = said(capsys)
    assert [line.partition(":")[0] for line in lines] == (
        ["off", "on", "on"] if "phases" in knobs else ["on"])
    check_same(cached, train(given, splits(8), gigabytes="0"))


@pytest.mark.parametrize("train_images, validation", [(9, 0), (3, 1), (2, 9), (13, 3)])
def test_every_number_of_images(capsys, train_images, validation):
    check_cached(capsys, recipe(), splits(8, train_images, validation))


def test_bfloat16_is_the_same_too(capsys):
    check_cached(capsys, recipe("cnn", 32, freeze={"last": 1}), splits(32), BF16)


@pytest.mark.cuda
@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v2", "vit_b_16"])
@pytest.mark.parametrize("freeze", ["last_only", {"last": 1}], ids=str)
def test_on_a_gpu(capsys, model, freeze):
    device = devices.pick()
    assert device.torch.type == "cuda" or os.environ.get("UNFREEZE_REHEARSE")
    check_cached(capsys, recipe(model, 64, freeze=freeze, batch_size=32),
                 splits(64, 100, 40, device), device)


@pytest.mark.parametrize("knobs, why", [
    ({"freeze": "none"}, "no leading layer is frozen"),
    ({"freeze": ["stage1"]}, "no leading layer is frozen"),
    ({"freeze": "none", "tune": "lora"}, "no leading layer is frozen"),
    ({"rotation": 10}, "images are changed by rotation, so they hardly ever repeat"),
    ({"crop_padding": 1}, "images are changed by crop_padding, so they hardly ever repeat"),
    ({"augment": "trivial"}, "images are changed by augment, so they hardly ever repeat"),
    ({"mixup": 0.2}, "images are mixed with one another"),
    ({"cutmix": 1.0}, "images are mixed with one another"),
    ({"epochs": 2}, "2 epochs of images with 2 variants compute nothing twice"),
    ({"epochs": 1, "flip": False}, "1 epoch of images with 1 variant compute nothing twice"),
])
def test_off_and_why(capsys, knobs, why):
    given = recipe(**knobs)
    cached = train(given, splits(8))
    assert said(capsys) == [f"off: {why}"]
    check_same(cached, train(given, splits(8), gigabytes="0"))


def test_off_where_the_layers_compute_little(capsys, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setitem(models.by_model(), "tiny", TINY)
    train(recipe(freeze=["stem"]), splits(8))
    assert said(capsys) == [
        "off: the frozen layers compute little for the 384 B that they put out for an image"]


@pytest.mark.parametrize("knobs", [{}, {"select": "best"}, {"patience": 1}], ids=str)
def test_batchnorm_that_goes_on_updating_is_not_kept(capsys, knobs):
    given = recipe(frozen_batchnorm="train", **{"epochs": 8} | knobs)
    cached = train(given, splits(8))
    check_same(cached, train(given, splits(8), gigabytes="0"))
    # What is left of the prefix is the stem's convolution.
    shapes = {np.load(file).shape for file in files() if file.suffix == ".npy"}
    assert shapes == {(2 * 7, 4 * 6 * 4 * 4), (3, 4 * 6 * 4 * 4)}


@pytest.mark.parametrize("look", [
    lambda x: x - x[:1], lambda x: x / (1 + x.amax(0, keepdim=True)), lambda x: x - x.mean(0)],
    ids=["first", "largest", "mean"])
def test_layers_that_look_at_the_batch_are_not_kept(capsys, monkeypatch, look):
    class Look(torch.nn.Module):
        def forward(self, x):
            return look(x)

    def build(*args):
        model = TINY.build(*args)
        model.stem.add_module("look", Look())
        return model

    family = type("family", (), {"MODELS": TINY.MODELS, "build": staticmethod(build)})
    monkeypatch.setitem(models.by_model(), "tiny", family)
    train(recipe(), splits(8))
    assert said(capsys) == ["off: what the frozen layers put out for an image depends on its batch"]


def files():
    return sorted((environment.scratch() / "prefixes").iterdir())


@pytest.mark.parametrize("change", [
    {"lr": 0.02}, {"epochs": 4}, {"schedule": "constant"}, {"weight_decay": 0.1}], ids=str)
def test_another_run_finds_them(capsys, change):
    train(recipe(), splits(8))
    before = [file.name for file in files()]
    assert len(before) == 2  # of training and validation
    cached = train(recipe(**change), splits(8))
    assert [line.endswith("made by an earlier run)") for line in said(capsys)] == [False, True]
    assert [file.name for file in files()] == before
    check_same(cached, train(recipe(**change), splits(8), gigabytes="0"))


@pytest.mark.parametrize("change", [
    {"batch_size": 3}, {"flip": False}, {"freeze": ["stem"]}, {"seed": 2}], ids=str)
def test_other_layers_or_images_are_not_mistaken_for_them(capsys, change):
    seed = change.pop("seed", 1)
    train(recipe(), splits(8))
    given = recipe(seeds=[1, 2], **change)
    cached = train(given, splits(8), seed=seed)
    assert not any(line.endswith("made by an earlier run)") for line in said(capsys))
    check_same(cached, train(given, splits(8), seed=seed, gigabytes="0"))


@pytest.mark.parametrize("change", [
    lambda it: {"dataset": replace(it.dataset, digest="another")},
    lambda it: {"preprocessing": replace(it.preprocessing, interpolation="bicubic")},
    lambda it: {"seeds": {1: replace(it.seeds[1], digest="another")}},
    lambda it: {"software": {"torch": "another"}}, lambda it: {"code": "another"},
    # A knob that nobody has heard of yet may decide what layers put out.
    lambda it: {"knobs": {**it.knobs, "a_knob": 1}}],
    ids=["dataset", "preprocessing", "subset", "software", "code", "knob"])
def test_other_data_code_or_knobs_are_not_mistaken_for_them(capsys, change):
    given = recipe()
    train(given, splits(8))
    train(replace(given, **change(given)), splits(8))
    assert not any(line.endswith("made by an earlier run)") for line in said(capsys))


def test_seconds_of_making_count_whoever_made_them(monkeypatch):
    ticks = iter(range(0, 10**6, 5))
    monkeypatch.setattr(devices.Device, "clock", lambda self: float(next(ticks)))
    seconds = []
    for lr in (0.01, 0.02):
        training = begin(recipe(lr=lr), splits(8))
        while not training.finished:
            training.epoch(lambda: None)
        seconds.append([row["seconds"] for row in training.history])
    assert seconds[0] == seconds[1] and seconds[0][0] >= seconds[0][1] + 5


def test_outputs_too_many_for_memory_are_read_from_their_file(capsys, monkeypatch):
    monkeypatch.setenv("UNFREEZE_RESIZED_GB", "0")
    read = []
    monkeypatch.setattr(RowFile, "__getitem__", lambda self, rows, real=RowFile.__getitem__: (
        read.append(len(rows)), real(self, rows))[1])
    check_cached(capsys, recipe(), splits(8))
    assert sum(read) == 3 * (7 + 3)


@pytest.mark.parametrize("damage", [
    lambda content: content[:-1], lambda content: b"", lambda content: content[:200] + bytes(
        len(content) - 200), lambda content: content[:200] + b"?" + content[201:]],
    ids=["short", "empty", "zeros", "a byte"])
@pytest.mark.parametrize("gigabytes", ["1", "0"])
def test_damaged_file_is_made_anew(capsys, monkeypatch, damage, gigabytes):
    monkeypatch.setenv("UNFREEZE_RESIZED_GB", gigabytes)
    one = train(recipe(), splits(8))
    for file in files():
        file.write_bytes(damage(file.read_bytes()))
    check_same(one, train(recipe(), splits(8)))
    assert not any(line.endswith("made by an earlier run)") for line in said(capsys))


def test_another_processor_makes_its_own(capsys):
    train(recipe(), splits(8))
    train(recipe(), splits(8), Device(torch.device("cpu"), "fp32", "another"))
    assert not any(line.endswith("made by an earlier run)") for line in said(capsys))


def test_file_that_another_process_deletes_at_once(capsys, monkeypatch):
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (real(old, new), os.unlink(new)))
    train(recipe(), splits(8))
    monkeypatch.undo()
    (line,) = said(capsys)
    assert re.fullmatch(r"off: \S+\.npy was lost as soon as it was written", line)


def test_scratch_folder_that_is_a_file(capsys, tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "prefixes").write_text("")
    train(recipe(), splits(8))
    assert said(capsys) == [f"off: {tmp_path}/scratch/prefixes cannot be used (File exists)"]


def test_trouble_with_the_images_is_not_taken_for_a_full_disk(monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "the disk of the photos is broken")

    monkeypatch.setattr(Recomputed, "compute", lambda self, images, real=[]: (
        real.append(1), fail() if len(real) > 2 else torch.zeros(len(images), 32,
                                                               dtype=torch.uint8))[1])
    with pytest.raises(OSError, match="photos is broken"):
        train(recipe(), splits(8))
    assert not files()


@pytest.mark.parametrize("fault", ["little space", "full while writing"])
def test_full_disk_is_no_error(capsys, monkeypatch, fault):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if fault == "little space":
            patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 10**9))
        else:
            patch.setattr(os, "replace", full)
        cached = train(recipe(), splits(8))
    (line,) = said(capsys)
    assert re.fullmatch(r"off: \S+ kB do not fit on the disk of \S+prefixes" if "little" in fault
                        else r"off: \S+prefixes cannot be used \(No space left on device\)", line)
    assert not files()
    check_same(cached, train(recipe(), splits(8), gigabytes="0"))


def test_oldest_outputs_go_first(monkeypatch):
    train(recipe(), splits(8))
    size = sum(file.stat().st_size for file in files())
    old = files()
    train(recipe(flip=False), splits(8), gigabytes=str(1.2 * size / 1e9))
    assert not set(old) <= set(files())
    assert sum(file.stat().st_size for file in files()) <= 1.2 * size + 200


def test_stopped_in_the_middle_of_a_phase(tmp_path, monkeypatch, capsys):
    given = recipe(epochs=4)
    whole = train(given, splits(8))
    first = begin(given, splits(8))
    first.epoch(lambda: None)
    first.epoch(lambda: None)
    state = first.state_dict()
    shutil.rmtree(tmp_path / "scratch")
    second = begin(given, splits(8), state=state)
    while not second.finished:
        second.epoch(lambda: None)
    check_same(whole, (without_seconds(second.history), second.model().state_dict()))
