"""Checkpoints of the user's own: what is taken, and every way to hand in a wrong one."""

import argparse
import datetime
import hashlib
import os
import pickle
import random
import subprocess
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import warm
from helpers import ROOT
from unfreeze import models, places
from unfreeze.errors import UserError
from unfreeze.models import opening, own, weights
from unfreeze.models.with_torch.outline import outline
from unfreeze.params import plan
from unfreeze.params.plan import Checkpoint

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return models.build("cnn", "original", 7, 32).state_dict()


def save(path, content):
    """A file, and its digest."""
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(content, path)
    else:
        torch.save(content, path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def checkpoint(path, digest, model="cnn", stem="original", size=32):
    return Checkpoint(model, stem, size, str(path), digest)


def read(path, digest=None, model="cnn", stem="original"):
    digest = digest or hashlib.sha256(path.read_bytes()).hexdigest()
    content, notes = own.read(checkpoint(path, digest, model, stem))
    return safetensors.torch.load(content), notes


@pytest.mark.parametrize(("name", "wrap"), [
    ("model.pth", lambda state: state),
    ("model.pt", dict),
    ("model.safetensors", dict),
    ("model.pth", lambda state: {"state_dict": state, "epoch": 3}),
    ("model.pth", lambda state: {"model": state, "optimizer": {"lr": 0.1}}),
    ("model.pth", lambda state: OrderedDict((f"module.{key}", state[key]) for key in state)),
    ("model.pth", lambda state: {key: state[key].double() for key in state}),
])
def test_state_dict_is_read_in_every_form(tmp_path, state, name, wrap):
    tensors, notes = read(*save(tmp_path / name, wrap(state)))
    assert tensors.keys() == state.keys()
    assert all(torch.equal(tensors[key], state[key]) for key in state)
    assert notes == ["head: the checkpoint has 7 outputs; new, except for as many classes"]


def under(prefix, state):
    return {prefix + key: state[key] for key in state}


@pytest.mark.parametrize(("name", "wrap"), [
    ("model.pt", lambda state: {"epoch": 3, "model_state_dict": state}),
    ("model.pth", lambda state: under("_orig_mod.", state)),
    ("model.pth", lambda state: under("module._orig_mod.", state)),
    ("model.PTH", lambda state: {key.replace(".", "._orig_mod.", 1): state[key] for key in state}),
    ("model.ckpt", lambda state: {"state_dict": under("model.", state), "loops": {"a": {}}}),
    ("model.ckpt", lambda state: {"state_dict": under("net.backbone.", state)}),
    ("model.pth.tar", lambda state: {"state_dict": under("module.", state),
                                     "best_acc1": torch.tensor(1.0)}),
    ("pytorch_model.bin", dict),
    ("model.pth", lambda state: {"net": state, "acc": 93.1, "epoch": 1}),
    ("model.pth", lambda state: under("encoder.", state) | {"decoder.weight": torch.ones(2)}),
    ("model.pth", lambda state: under("module.online.resnet.", state)),
    ("model.pth", lambda state: {"ema": {"n_averaged": torch.tensor(5)} | under("module.", state)}),
    ("model.pth", lambda state: {"state_dict": state, "best": np.float64(71.2), "a": np.ones(2)}),
    ("model.pth", lambda state: {"state_dict": state, "args": argparse.Namespace(lr=0.1),
                                 "at": Path("x"), "run": print, "mine": Mine(), "date": TODAY}),
])
@pytest.mark.parametrize("zipped", [True, False])
def test_what_training_scripts_leave_is_read(tmp_path, state, name, wrap, zipped):
    torch.save(wrap(state), tmp_path / name, _use_new_zipfile_serialization=zipped)
    tensors, notes = read(tmp_path / name)
    assert tensors.keys() == state.keys()
    assert all(torch.equal(tensors[key], state[key]) for key in state)
    assert [note for note in notes if note != "not of the model, left out: decoder.weight"] == [
        "head: the checkpoint has 7 outputs; new, except for as many classes"]


def test_the_only_state_dict_of_a_file_is_taken_whatever_it_is_called(tmp_path, state):
    content = {"student": under("module.", state), "epoch": 3, "optimizer": {"state": {}}}
    tensors, notes = read(*save(tmp_path / "model.pth", content))
    assert all(torch.equal(tensors[key], state[key]) for key in state)
    assert notes[0] == "taken from student"


def test_what_is_beside_the_model_is_left_out_with_a_note(tmp_path, state):
    content = {"state_dict": under("model.", state) | {
        "criterion.weight": torch.ones(3), "ema.conv": torch.ones(3)}, "ema": under("", state)}
    tensors, notes = read(*save(tmp_path / "model.ckpt", content))
    assert tensors.keys() == state.keys()
    assert notes[:2] == ["taken from state_dict, not from ema",
                         "not of the model, left out: criterion.weight, ema.conv"]


def test_two_models_in_one_file_are_an_error(tmp_path, state):
    both = under("module.", state) | under("model.", state)
    with pytest.raises(UserError, match="holds .* more than once .*state_dict.. of one model"):
        read(*save(tmp_path / "model.pth", both))


@pytest.mark.parametrize(("change", "words"), [
    (lambda tensor: tensor.to_sparse(), r"is sparse \(torch.sparse_coo\)"),
    (lambda tensor: tensor.to("meta"), "is a meta tensor, without content"),
    (lambda tensor: tensor.to(torch.complex64), r"is complex \(torch.complex64\)"),
    (lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8), "is quantized"),
    (lambda tensor: tensor.int(), "is torch.int32, and must be of floating-point numbers"),
    (lambda tensor: tensor.bool(), "is torch.bool, and must be"),
    (lambda tensor: tensor * float("nan"), "has nan or infinite numbers"),
    (lambda tensor: tensor.index_fill(0, torch.tensor(0), float("inf")), "nan or infinite numbers"),
    (lambda tensor: torch.zeros(1).expand(1 << 20, 1 << 20), "more than 4,294,967,296 numbers"),
])
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_no_model_has_are_named(tmp_path, state, recwarn, change, words):
    name = next(iter(state))
    with pytest.raises(UserError, match=words) as caught:
        read(*save(tmp_path / "model.pth", state | {name: change(state[name])}))
    text = str(caught.value)
    assert len(text.splitlines()) == 1 and (name in text or "numbers, more than any" in text)


def test_tensors_that_share_memory_are_read(tmp_path, state):
    flat = torch.cat([tensor.flatten().float() for tensor in state.values()])
    shared = {name: piece.view(state[name].shape) for name, piece in zip(
        state, flat.split([tensor.numel() for tensor in state.values()]), strict=True)}
    tensors, _ = read(*save(tmp_path / "model.pth", shared))
    assert all(torch.equal(tensors[key], shared[key]) for key in state)


def test_half_precision_comes_as_float32(tmp_path, state):
    half = {key: tensor.bfloat16() for key, tensor in state.items()}
    tensors, _ = read(*save(tmp_path / "model.safetensors", half))
    assert all(torch.equal(tensors[key], half[key].float()) for key in half)


def test_file_says_where_its_tensors_come_from(tmp_path, state):
    path, digest = save(tmp_path / "model.pth", state)
    contents = {own.read(checkpoint(path, digest))[0] for _ in range(4)}
    assert len(contents) == 1
    (tmp_path / "taken.safetensors").write_bytes(contents.pop())
    assert weights.origin(tmp_path / "taken.safetensors") == digest


def test_checkpoint_without_head_fits(tmp_path, state):
    headless = {key: state[key] for key in state if not key.startswith("classifier.12.")}
    _, notes = read(*save(tmp_path / "model.pth", headless))
    assert notes == ["head: new, the checkpoint has none"]


@pytest.mark.parametrize(("made_with", "wanted", "notes"), [
    ("original", "cifar", ["conv1: new, the checkpoint's does not fit"]),
    ("cifar", "cifar", []),
])
def test_stem_of_another_shape_is_new(made_with, wanted, notes):
    tensors = outline("resnet18", made_with, 3, 32).state_dict()
    found = own.check(checkpoint("my.pth", "", "resnet18", wanted), tensors)
    assert found[:-1] == notes and found[-1].startswith("head: the checkpoint has 3 outputs")


def test_stem_of_another_shape_is_an_error_where_the_model_keeps_its_own():
    tensors = outline("resnet18", "cifar", 3, 32).state_dict()
    with pytest.raises(UserError, match=r"no checkpoint of resnet18: conv1.weight is \(64, 3, 3"):
        own.check(checkpoint("my.pth", "", "resnet18"), tensors)


def test_vit_of_another_image_size_fits():
    tensors = outline("vit_b_16", "original", 3, 64).state_dict()
    assert own.check(checkpoint("my.pth", "", "vit_b_16"), tensors)


def test_auxiliary_classifiers_are_passed_over():
    tensors = outline("googlenet", "original", 3, 64).state_dict()
    tensors["aux1.fc1.weight"] = torch.zeros(1)
    assert own.check(checkpoint("my.pth", "", "googlenet", size=64), tensors)


def test_checkpoint_of_another_architecture_names_the_first_tensors(tmp_path, state):
    path, digest = save(tmp_path / "model.pth", state)
    with pytest.raises(UserError) as caught:
        own.read(checkpoint(path, digest, "resnet18"))
    text = str(caught.value)
    assert text.startswith(f"{path}: is no checkpoint of resnet18: missing conv1.weight, ")
    assert text.endswith(" more; set `model` to the one it belongs to") and "\n" not in text


class Mine:
    """As a training script may save its own objects."""

    def __reduce__(self):
        return eval, ("1 + 1",)


TODAY = datetime.date(2026, 1, 1)


class Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("wrap", [lambda evil: evil, lambda evil: {"state_dict": {"a": evil}}])
def test_checkpoint_that_names_a_command_is_refused(tmp_path, wrap):
    with pytest.raises(UserError, match="no readable checkpoint"):
        read(*save(tmp_path / "model.pth", wrap(Evil(tmp_path / "ran"))))
    assert not (tmp_path / "ran").exists()


def test_whole_model_in_a_pickle_is_refused_with_advice(tmp_path):
    with pytest.raises(UserError, match=r"no readable checkpoint: it is an object of torch.nn.*"
                                        r"Linear, .*save a model's state_dict\(\)"):
        read(*save(tmp_path / "model.pth", torch.nn.Linear(1, 1)))


@pytest.mark.filterwarnings("ignore")  # of torch, that it will have none some day
def test_torchscript_is_called_by_its_name(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "model.pt")
    with pytest.raises(UserError, match="a TorchScript archive, whose code is not run; save a"):
        read(tmp_path / "model.pt")


def test_code_in_a_pickle_never_runs(tmp_path, state):
    class Opens:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    tensors, _ = read(*save(tmp_path / "model.pth", {"model": state, "args": Opens()}))
    assert tensors.keys() == state.keys() and not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("content", [b"", b"<html>", bytes(1000), pickle.dumps({"a": 1})[:-3]])
@pytest.mark.parametrize("name", ["model.pth", "model.pt", "model.safetensors"])
def test_garbage_is_a_clear_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}: no readable checkpoint") as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_damage_anywhere_is_a_clear_error(tmp_path, kind):
    whole = {"state_dict": {"a.weight": torch.ones(3, 4)}, "args": argparse.Namespace()}
    if kind == "safetensors":
        content, name = safetensors.torch.save(whole["state_dict"]), "x.safetensors"
    else:
        torch.save(whole, tmp_path / "x", _use_new_zipfile_serialization=kind == "zip")
        content, name = (tmp_path / "x").read_bytes(), "x.pth"
    rng = random.Random(0)
    for _ in range(100):
        damaged = bytearray(content)
        for _ in range(rng.choice([1, 2, 5])):
            place = rng.randrange(len(damaged))
            damaged[place:place + rng.choice([0, 1, 9])] = rng.randbytes(rng.choice([0, 1, 5]))
        try:
            opening.open_tensors(Path(name), bytes(damaged))
        except UserError as error:
            assert str(error).startswith(name) and len(str(error).splitlines()) == 1


@pytest.mark.parametrize("content", [
    {}, [torch.zeros(1)], torch.zeros(1), 5, {"a": 1},
    {"student": {"a": torch.zeros(1)}, "teacher": {"a": torch.zeros(1)}},
    {1: torch.zeros(1)}, {"state_dict": {}}, {"model": {"a": torch.zeros(1), "b": "text"}},
])
def test_what_holds_no_state_dict_is_a_clear_error(tmp_path, content):
    with pytest.raises(UserError, match="holds no state dict; .* under state_dict or .*found "):
        read(*save(tmp_path / "model.pth", content))


def test_changed_file_says_what_to_run(tmp_path, state):
    path, _ = save(tmp_path / "model.pth", state)
    with pytest.raises(UserError, match="has changed since plan ran .*`dvc repro -f plan`"):
        read(path, "0" * 64)


def test_missing_file_and_folder_are_clear_errors(tmp_path):
    (tmp_path / "folder.pth").mkdir()
    for name in ("nothing.pth", "folder.pth"):
        with pytest.raises(UserError, match=rf"{name}: cannot be read \(.*`init` in params.yaml"):
            read(tmp_path / name, "0" * 64)


def test_message_says_what_was_found(tmp_path, state):
    path, _ = save(tmp_path / "model.pth", {"a": state, "b": state, "epoch": 3})
    both = rf"a \(a mapping of {len(state)}\), b \(a mapping of {len(state)}\), epoch \(int\)"
    with pytest.raises(UserError, match=f"found a mapping with {both}"):
        read(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(UserError, match=r"pipe.pth: cannot be read \(no ordinary file\)"):
        read(tmp_path / "pipe.pth", "0" * 64)


@pytest.mark.parametrize("name", ["model.onnx", "model"])
def test_other_kinds_of_file_are_told_the_allowed_ones(tmp_path, name):
    with pytest.raises(UserError, match="is no kind of checkpoint; allowed: .safetensors, .pth"):
        read(tmp_path / name, "0" * 64)


@pytest.fixture
def stage(tmp_path):
    """Runs the stage on a plan; gives its exit status and what it printed."""
    def run(entries):
        plan.write(plan.Plan({}, {}, {}, entries, {}, (), {}, {}, {}, {}), tmp_path)
        done = subprocess.run(
            [warm.python(), ROOT / "stages" / "fetch_weights.py"], cwd=tmp_path, text=True,
            capture_output=True, env={"PATH": os.environ["PATH"], "UNFREEZE_SCRATCH": "scratch"})
        return done.returncode, done.stdout + done.stderr
    return run


def test_stage_takes_over_a_checkpoint(tmp_path, state, stage):
    path, digest = save(tmp_path / "my.pth", state)
    assert stage({"mine": checkpoint("my.pth", digest)}) == (
        0, "my.pth: fits cnn\nhead: the checkpoint has 7 outputs; new, except for as many "
           "classes\n")
    tensors = safetensors.torch.load_file(tmp_path / places.WEIGHTS / "mine.safetensors")
    assert all(torch.equal(tensors[key], state[key]) for key in state)
