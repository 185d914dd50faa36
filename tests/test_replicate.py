"""Training from a recipe: phases, what is kept at the end, and going on after a stop."""

import os
import re
import subprocess
import time
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

import warm
from helpers import ROOT, TINY, plain, tiny_recipe
from unfreeze import files, models
from unfreeze.data.reading.images import Images
from unfreeze.models import weights
from unfreeze.recipe import Chosen, PinnedSubset
from unfreeze.training import evaluation, loop, replicate, setting
from unfreeze.training.assemble import assemble, tables
from unfreeze.training.checkpoint import Scratch
from unfreeze.training.devices import Device
from unfreeze.training.finished import Cost, Finished
from unfreeze.training.phase import PhaseTraining

torch.set_num_threads(1)  # on tiny images more threads only wait for one another

CPU = Device(torch.device("cpu"), "fp32", "test")
SIZES = {"train": 20, "validation": 12, "test": 9}
PHASES = [{"freeze": "last_only", "epochs": 2, "lr": 0.05}, {"freeze": "early", "epochs": 2},
          {"freeze": ["head"], "epochs": 1, "lr_scale": {"stem": 0.5}}]


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(0)
    found = {}
    for split, size in SIZES.items():
        labels = np.arange(size) % 3
        images = rng.integers(0, 200, (size, 8, 8, 3))
        images[np.arange(size), :, :, labels] += 30  # a class is a tint
        found[split] = Images(images.astype(np.uint8), labels, range(size), plain(8), CPU.torch,
                              10**9)
    return found


@pytest.fixture
def folders(monkeypatch, tmp_path, splits):
    """The tiny model, its weights, its images, and a scratch folder of one's own."""
    monkeypatch.setitem(models.by_model(), "tiny", TINY)
    monkeypatch.setattr(replicate, "load_images", lambda *_: splits)
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    torch.manual_seed(3)
    tensors = TINY.build("tiny", "original", 1000, 8).state_dict()
    tensors = {name: tensor for name, tensor in tensors.items() if not weights.is_counter(name)}
    file = weights.path(tmp_path, "tiny-v1")
    safetensors.torch.save_file(tensors, file)
    return setting.Inputs(weights=tmp_path), weights.tensors_digest(weights.read_arrays(file))


@pytest.fixture
def begin(folders, splits):
    """A function from knobs to a replicate about to be trained."""
    inputs, digest = folders
    return lambda pretrained=False, seed=1, **knobs: replicate.Replicate(setting.set_up(
        tiny_recipe(digest if pretrained else None, **knobs), seed, CPU, inputs.weights, splits))


def state(training):
    return {name: tensor.clone() for name, tensor in training.setting.model.state_dict().items()}


def first_phase(training):
    """What the first phase of a replicate trains with."""
    recipe = training.setting.recipe
    return PhaseTraining(training.setting, recipe.phases[0], tables(recipe)[0],
                         recipe.phases[0].knobs["epochs"])


def epoch(training):
    return training.epoch(lambda: None)


def same(one, other):
    return one.keys() == other.keys() and all(
        np.array_equal(np.asarray(one[name]), np.asarray(other[name])) for name in one)


def finish(training):
    """(the state after each epoch, the trained model's)."""
    states = []
    while not training.finished:
        epoch(training)
        states.append(state(training))
    return states, {name: t.clone() for name, t in training.model().state_dict().items()}


def moved(before, after):
    """Blocks of which a parameter changed."""
    return {name.split(".")[0] for name in before
            if name.endswith((".weight", ".bias")) and not torch.equal(before[name], after[name])}


def test_phases_follow_one_another_and_each_moves_its_own(begin):
    training = begin(phases=PHASES, lr=0.01, weight_decay=0.01)
    assert training.epochs == 5
    states = [state(training), *finish(training)[0]]
    assert [moved(*pair) for pair in zip(states, states[1:], strict=False)] == [
        {"head"}, {"head"}, {"stem", "stage2", "head"}, {"stem", "stage2", "head"},
        {"stem", "stage1", "stage2"}]
    assert [(row["epoch"], row["phase"]) for row in training.history] == [
        (1, 1), (2, 1), (3, 2), (4, 2), (5, 3)]
    # Cosine starts anew with each phase.
    assert [row["lr"] for row in training.history] == pytest.approx(
        [0.05, 0.025, 0.01, 0.005, 0.01])


def test_first_phase_is_the_run_that_has_it_alone(begin):
    alone, _ = finish(begin(phases=PHASES[:1], lr=0.01))
    both, _ = finish(begin(phases=PHASES, lr=0.01))
    assert all(same(one, other) for one, other in zip(alone, both, strict=False))


def rates_of(training, monkeypatch):
    """The rate of every group at each step of an epoch."""
    seen, real = [], torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self: (
        seen.append([group["lr"] for group in self.param_groups]), real(self))[1])
    epoch(training)
    monkeypatch.undo()
    return seen


def test_rate_of_each_step_is_base_times_schedule_times_warmup(begin):
    training = begin(optimizer="sgd", lr=0.4, lr_scale={"head": 0.5}, epochs=3, warmup_epochs=1,
                     batch_size=4, accumulate=2)
    steps = 3  # five batches in pairs
    for factors in ([1 / 3, 2 / 3, 1], [1] * steps, [0.5] * steps):
        with pytest.MonkeyPatch.context() as patch:
            seen = rates_of(training, patch)
        assert seen == [pytest.approx([0.4 * factor, 0.2 * factor]) for factor in factors]
    assert [row["lr"] for row in training.history] == pytest.approx([0.4, 0.4, 0.2])


def test_history_has_the_rate_of_the_last_step(begin):
    training = begin(lr=0.4, epochs=5, warmup_epochs=2, schedule="constant")
    finish(training)
    assert [row["lr"] for row in training.history] == pytest.approx([0.2, 0.4, 0.4, 0.4, 0.4])


class Stopped(Exception):
    pass


RESUMED = {
    "phases": {"phases": PHASES, "optimizer": "adamw"},
    "average, best epoch": {"phases": PHASES, "ema": 0.6, "select": "best"},
    "patience": {"phases": [{}, {}], "epochs": 6, "patience": 2, "select": "best", "lr": 0.3},
    "momentum, warm-up": {"optimizer": "sgd", "momentum": 0.9, "epochs": 4, "warmup_epochs": 2,
                          "clip_norm": 0.5, "accumulate": 2, "batch_size": 4},
    "mixing": {"mixup": 0.4, "cutmix": 1.0, "augment": "trivial", "rotation": 10,
               "crop_padding": 1, "label_smoothing": 0.1},
    "pretrained": {"l2_sp": 0.1, "weight_decay": 0.1, "tune": "lora", "lora_rank": 2,
                   "phases": PHASES, "head": "append", "ema": 0.5},
}


@pytest.mark.parametrize("name", RESUMED)
def test_replicate_stopped_after_each_epoch_is_bit_for_bit_one_never_stopped(
        folders, tmp_path, monkeypatch, name):
    inputs, digest = folders
    recipe = tiny_recipe(digest if name == "pretrained" else None, **RESUMED[name])

    def train():
        return replicate.train(recipe, 1, CPU, inputs, "test")

    whole = train()
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "other"))
    real = Scratch.save_epoch

    def save_and_stop(scratch, content):
        real(scratch, content)
        raise Stopped

    monkeypatch.setattr(Scratch, "save_epoch", save_and_stop)
    for _ in whole.history:
        with pytest.raises(Stopped):
            train()
    parts = train()
    assert same(parts.model, whole.model)
    assert same(arrays(parts), arrays(whole))
    assert parts.movement == whole.movement and parts.diverged is None
    times = {"seconds": None}
    assert [row | times for row in parts.history] == [row | times for row in whole.history]
    if name == "patience":
        assert len(whole.history) < 12  # it did end a phase
    assert same(arrays(train()), arrays(whole))  # finished: taken from the scratch folder


def arrays(result):
    return {key: value for key, value in vars(result).items() if isinstance(value, np.ndarray)}


def scores(training, monkeypatch, *found):
    """Let validation find (loss, accuracy) after (loss, accuracy)."""
    left = iter(found)
    monkeypatch.setattr(evaluation, "scores", lambda *_: next(left))


@pytest.mark.parametrize(("found", "best"), [
    ([(1.0, 0.2), (0.9, 0.6), (0.8, 0.4)], 1),
    ([(1.0, 0.6), (0.9, 0.6), (1.1, 0.6)], 1),  # the lower loss decides between equals
    ([(1.0, 0.6), (1.0, 0.6), (1.0, 0.6)], 0),  # and then the first
    ([(0.1, 0.5), (0.2, 0.5), (5.0, 0.6)], 2),
    ([(1.0, 0.0), (1.0, 0.0), (1.0, 0.0)], 0),
])
@pytest.mark.parametrize("select", ["best", "last"])
def test_best_epoch_is_kept(begin, monkeypatch, found, best, select):
    training = begin(select=select, epochs=3)
    scores(training, monkeypatch, *found)
    states, result = finish(training)
    assert same(result, states[best if select == "best" else -1])
    assert not same(states[0], states[1])


def test_best_epoch_may_lie_in_any_phase(begin, monkeypatch):
    training = begin(select="best", phases=PHASES)
    scores(training, monkeypatch, (1, 0.1), (1, 0.7), (1, 0.2), (1, 0.3), (1, 0.4))
    states, result = finish(training)
    assert same(result, states[1])


@pytest.mark.parametrize(("patience", "found", "phases"), [
    (0, [0.5, 0.4, 0.3, 0.2, 0.2, 0.2], [1, 1, 1, 2, 2, 2]),
    (1, [0.5, 0.4, 0.3, 0.4, 0.5], [1, 1, 2, 2, 2]),
    (2, [0.5, 0.4, 0.3, 0.2, 0.2, 0.2], [1, 1, 1, 2, 2, 2]),
    # A new phase need not beat the one before it.
    (1, [0.9, 0.8, 0.1, 0.0], [1, 1, 2, 2]),
])
def test_patience_ends_a_phase(begin, monkeypatch, patience, found, phases):
    training = begin(patience=patience, phases=[{}, {}], epochs=3)
    scores(training, monkeypatch, *((1.0, accuracy) for accuracy in found))
    finish(training)
    assert [row["phase"] for row in training.history] == phases


def test_average_is_what_is_validated_and_kept(begin, monkeypatch):
    training = begin(ema=0.5, epochs=2, batch_size=64)  # a step an epoch
    seen, real = [], evaluation.predict
    monkeypatch.setattr(evaluation, "predict", lambda model, *rest: (
        seen.append({name: t.clone() for name, t in model.state_dict().items()}),
        real(model, *rest))[1])
    start = state(training)
    states, result = finish(training)
    first = {name: (start[name] + 9 * states[0][name]) / 10 for name in start}
    second = {name: (2 * first[name] + 9 * states[1][name]) / 11 for name in start}
    for name in start:
        if start[name].is_floating_point():
            torch.testing.assert_close(seen[0][name], first[name])
            torch.testing.assert_close(result[name], second[name])
            assert torch.equal(result[name], seen[1][name])
    assert not torch.equal(result["head.weight"], states[1]["head.weight"])


def test_l2_sp_takes_the_place_of_weight_decay_where_weights_are_pretrained(begin):
    training = begin(pretrained=True, l2_sp=0.1, weight_decay=0.2)
    decays = {id(p): group["weight_decay"] for group in first_phase(training).optimizer.param_groups
              for p in group["params"]}
    parameters = dict(training.setting.model.named_parameters())
    assert {name: decays[id(p)] for name, p in parameters.items()} == {
        name: 0.2 if name.startswith("head.") else 0.0 for name in parameters}
    without = first_phase(begin(pretrained=True, weight_decay=0.2))
    assert {group["weight_decay"] for group in without.optimizer.param_groups} == {0.2}


def test_l2_sp_keeps_weights_where_they_were(begin):
    def distance(strength):
        training = begin(pretrained=True, l2_sp=strength, optimizer="sgd", momentum=0, lr=0.1,
                         epochs=6, schedule="constant")
        _, result = finish(training)
        initial = training.setting.initial
        return sum((result[name] - tensor).norm() for name, tensor in initial.items()
                   if name.endswith((".weight", ".bias"))).item()

    near, far = distance(5.0), distance(0.0)
    assert near < 0.5 * far


def test_biases_and_norms_may_be_spared(begin):
    training = begin(weight_decay=0.2, decay_biases_and_norms=False)
    groups = first_phase(training).optimizer.param_groups
    spared = {id(p) for group in groups if not group["weight_decay"] for p in group["params"]}
    assert {name for name, p in training.setting.model.named_parameters() if id(p) in spared} == {
        name for name, _ in training.setting.model.named_parameters()
        if name.endswith("bias") or name in ("stem.1.weight", "stage1.1.weight")}


@pytest.mark.parametrize("change", [
    {"mixup": 0.5}, {"cutmix": 0.5}, {"label_smoothing": 0.3}, {"clip_norm": 0.01},
    {"accumulate": 2}, {"l2_sp": 1.0}, {"ema": 0.5}, {"augment": "rand"}, {"rotation": 20},
    {"crop_padding": 2}, {"flip": False}, {"dropout": 0.5}, {"frozen_batchnorm": "train"},
    {"head": "mlp", "head_width": 4}, {"warmup_epochs": 1}, {"lr_decay": 0.5}], ids=str)
def test_every_knob_changes_the_result(begin, change):
    knobs = {"freeze": ["stem"], "optimizer": "sgd", "epochs": 2, "pretrained": True}
    assert not same(finish(begin(**knobs))[1], finish(begin(**knobs | change))[1])


def test_same_seed_is_bit_for_bit_the_same(begin):
    knobs = {"mixup": 0.4, "augment": "rand", "dropout": 0.5, "ema": 0.5, "epochs": 1}
    one, same_seed, other = (finish(begin(seed=seed, **knobs))[1] for seed in (1, 1, 2))
    assert same(one, same_seed) and not same(one, other)


def test_no_two_epochs_see_the_images_in_the_same_order(begin, monkeypatch):
    orders, real = [], Images.shuffled

    def shuffled(*arguments):
        batches = list(real(*arguments))
        orders.append(tuple(torch.cat([labels for _, labels in batches]).tolist()))
        return iter(batches)

    monkeypatch.setattr(Images, "shuffled", shuffled)
    finish(begin(phases=PHASES))
    assert len(set(orders)) == len(orders) == 5


def test_replicate_without_validation(begin, splits):
    training = begin(validation=0)
    training = replicate.Replicate(replace(
        training.setting, splits=splits | {"validation": []}))
    finish(training)
    assert {(row["validation_loss"], row["validation_accuracy"]) for row in training.history} == {
        (None, None)}


def test_result_holds_what_training_changed_and_the_logits_of_the_model(folders, splits):
    inputs, digest = folders
    recipe = tiny_recipe(digest, freeze="last_only", batch_size=8)
    result = replicate.train(recipe, 1, CPU, inputs, "test")
    assert result.model.keys() == {"head.weight", "head.bias"}
    model, initial = assemble(recipe, 1, inputs.weights)
    model.load_state_dict(initial | {name: torch.from_numpy(array)
                                     for name, array in result.model.items()})
    model = model.to(memory_format=torch.channels_last)
    for split, key in (("test", "logits"), ("validation", "validation_logits")):
        logits = evaluation.predict(model, splits[split], recipe.knobs, 3, CPU)
        assert np.array_equal(logits, getattr(result, key)) and logits.shape == (SIZES[split], 3)
    assert np.array_equal(result.validation_labels, splits["validation"].labels)
    accuracy = (result.validation_logits.argmax(1) == result.validation_labels).mean()
    assert accuracy == result.history[-1]["validation_accuracy"]
    assert [row[0] for row in result.movement] == ["stem", "stage1", "stage2"]
    assert result.cost.images == 3 * SIZES["train"]
    assert [row["epoch"] for row in result.history] == [1, 2, 3]


def test_run_without_validation_images_has_no_logits_of_them(folders, splits, monkeypatch, capsys):
    empty = Images(np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1, np.int64), [], plain(8),
                   CPU.torch, 10**9)
    monkeypatch.setattr(replicate, "load_images", lambda *_: splits | {"validation": empty})
    result = replicate.train(tiny_recipe(validation=0), 1, CPU, folders[0], "run seed 1")
    assert result.validation_logits.shape == (0, 3)
    assert result.validation_labels.shape == (0,)
    assert result.validation_labels.dtype == np.int64
    assert result.movement == []  # from scratch
    assert re.search(r"^run seed 1: [\d.]+ s of training$", capsys.readouterr().out, re.MULTILINE)


def test_finished_replicate_is_two_lines(folders, capsys):
    result = replicate.train(tiny_recipe(), 1, CPU, folders[0], "run seed 1")
    percent = 100 * result.history[-1]["validation_accuracy"]
    output, errors = capsys.readouterr()
    assert re.fullmatch("run seed 1: prefix cache off: no leading layer is frozen\n"
                        rf"run seed 1: validation accuracy {percent:.1f} %, [\d.]+ s of training\n",
                        output)
    assert "warning" not in errors


HOT = {"optimizer": "sgd", "schedule": "constant", "epochs": 4,
       "phases": [{"lr": 0.01, "epochs": 2}, {"lr": 1e30, "epochs": 4}]}


def check_diverged(result):
    assert result.logits.shape == (SIZES["test"], 3) and np.isnan(result.logits).all()
    assert result.validation_logits.shape == (SIZES["validation"], 3)
    assert np.isnan(result.validation_logits).all()


@pytest.mark.parametrize("knobs", [{}, {"select": "best", "patience": 3}, {"ema": 0.5}], ids=str)
def test_training_that_diverges_stops_and_is_recorded(folders, capsys, knobs):
    inputs, digest = folders
    recipe = tiny_recipe(digest, **HOT, **knobs)
    result = replicate.train(recipe, 1, CPU, inputs, "run seed 1")
    check_diverged(result)
    history = result.history
    assert 3 <= len(history) < 6 and history[-1]["phase"] == 2
    assert np.isfinite([row["train_loss"] for row in history[:-1]]).all()
    loss = history[-1]["train_loss"]
    assert not np.isfinite(loss)
    if "ema" not in knobs:
        assert np.isnan([history[-1]["validation_loss"], history[-1]["validation_accuracy"]]).all()
    assert [row[0] for row in result.movement] == ["stem", "stage1", "stage2"]
    output, errors = capsys.readouterr()
    warning = (f"warning: run seed 1: training diverged (the loss of epoch {len(history)} is "
               f"{loss}); lr: 1e+30 is too high for this run, choose a lower one in params.yaml; "
               "the run is marked failed\n")
    assert errors.endswith(warning) and errors.count("warning") == 1
    assert "validation accuracy" not in output
    # From the scratch folder it comes with its warning too.
    again = replicate.train(recipe, 1, CPU, inputs, "run seed 1")
    assert repr(again.history) == repr(history)
    check_diverged(again)
    assert capsys.readouterr().err == warning


@pytest.mark.parametrize(("knobs", "words"), [
    ({}, "lr: 0.001 is too high"),
    ({"lr": 5.0, "weight_decay": 0.1}, "lr: 5.0 is too high"),
    ({"weight_decay": 1e308}, "weight_decay: 1e+308 is too high"),
    ({"lr": 10.0, "weight_decay": 1e9}, "weight_decay: 1000000000.0 is too high"),
    ({"lr_scale": {"stage1": 1e30, "stage2": 2}}, "lr_scale: {'stage1': 1e+30, 'stage2': 2} is"),
    ({"tune": "lora", "lora_alpha": 1e308}, "lora_alpha: 1e+308 is too high"),
    ({"batch_size": 4096, "head": "mlp", "head_width": 4096}, "lr: 0.001 is too high"),
    ({"l2_sp": 1e30, "init": "pretrained"}, "l2_sp: 1e+30 is too high"),
    ({"phases": [{"epochs": 1}, {"epochs": 1, "weight_decay": 1e9}]}, "weight_decay: 1000000000.0"),
])
def test_the_knob_that_stands_out_is_named(folders, capsys, knobs, words):
    last = len(knobs.get("phases", [None]))
    Finished({}, *[np.zeros((0, 3))] * 2, np.zeros(0), None, [{"phase": last}], [],
             Cost(1.0, 1, 1, "cpu", "fp32"), "the loss of epoch 1 is nan").warn(
        "run seed 1", tiny_recipe("0" * 64 if {"l2_sp", "tune"} & {*knobs} else None, **knobs))
    assert words in capsys.readouterr().err


def test_diverged_replicate_stopped_after_each_epoch_is_the_same(folders, tmp_path, monkeypatch):
    recipe = tiny_recipe(**HOT)

    def train():
        return replicate.train(recipe, 1, CPU, folders[0], "test")

    whole = train()
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "other"))
    real = Scratch.save_epoch

    def save_and_stop(scratch, content):
        real(scratch, content)
        raise Stopped

    monkeypatch.setattr(Scratch, "save_epoch", save_and_stop)
    for _ in whole.history:
        with pytest.raises(Stopped):
            train()
    parts = train()
    assert parts.diverged == whole.diverged
    assert parts.model.keys() == whole.model.keys()
    for name, tensor in whole.model.items():
        assert parts.model[name].tobytes() == tensor.tobytes(), name
    times = {"seconds": None}
    assert repr([row | times for row in parts.history]) == repr(
        [row | times for row in whole.history])
    check_diverged(parts)


@pytest.mark.parametrize("which", ["test", "validation"])
def test_logits_that_are_not_finite_are_blamed_on_the_rate_that_was_set(
        folders, monkeypatch, capsys, which):
    def predict(model, images, *rest, real=evaluation.predict):
        logits = real(model, images, *rest).clone()
        if len(images) == SIZES[which]:
            logits[0, 1] = torch.inf
        return logits

    monkeypatch.setattr(evaluation, "predict", predict)
    result = replicate.train(tiny_recipe(lr=0.4, epochs=2), 1, CPU, folders[0], "test")
    check_diverged(result)
    assert len(result.history) == 2
    assert re.search(f"logits of the {which} images are not finite.*lr: 0.4 is",
                     capsys.readouterr().err)


def test_validation_without_finite_logits_is_never_the_best(begin, splits, monkeypatch):
    training = begin(select="best", epochs=3)
    real, calls = loop.predict, []

    def predict(*arguments):
        calls.append(real(*arguments))
        # The first class wins where all are NaN, so here every image would be right.
        return torch.full_like(calls[-1], torch.nan) if len(calls) == 2 else calls[-1]

    monkeypatch.setattr(loop, "predict", predict)
    monkeypatch.setattr(splits["validation"], "labels", torch.zeros(SIZES["validation"]).long())
    states, result = finish(training)
    row = training.history[1]
    assert np.isnan([row["validation_loss"], row["validation_accuracy"]]).all()
    assert same(result, states[0]) or same(result, states[2])


def test_training_learns(begin):
    training = begin(epochs=12, lr=0.02, flip=False)
    finish(training)
    assert training.history[-1]["train_loss"] < 0.6 * training.history[0]["train_loss"]
    assert training.history[-1]["validation_accuracy"] > 0.6


MEMORY = """
import os, sys
from helpers import striped, tiny_recipe
from unfreeze import places
from unfreeze.training import devices, replicate
from unfreeze.training.setting import set_up
recipe = tiny_recipe(model="mobilenet_v2", image_size=32, batch_size=16, epochs=12, validation=0.1,
                     ema=0.9, select="best", freeze=sys.argv[1])
device = devices.pick()
splits = {"train": striped(32, 48, device.torch), "validation": striped(32, 16, device.torch)}
training = replicate.Replicate(set_up(recipe, 1, device, places.WEIGHTS, splits))
while not training.finished:
    training.epoch(lambda: None)
    pages = int(open("/proc/self/statm").read().split()[1])
    print(pages * os.sysconf("SC_PAGE_SIZE"))
"""


@pytest.mark.parametrize("freeze", ["none", "last_only"])
def test_memory_is_flat_over_epochs(tmp_path, freeze):
    done = subprocess.run([warm.python(), "-c", MEMORY, freeze], text=True,
                          capture_output=True, env=os.environ | {
        "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT / "tests"))),
        "UNFREEZE_SCRATCH": str(tmp_path), "OMP_NUM_THREADS": "1", "UNFREEZE_DEVICE": "cpu"})
    assert done.returncode == 0, done.stderr
    held = list(map(int, done.stdout.split()))
    assert max(held[6:]) - max(held[3:6]) < 10e6  # bytes; the model's tensors are 9 MB


def train_trial(recipe, inputs, splits, monkeypatch):
    """A trial of a recipe, and how often its model was asked."""
    monkeypatch.setattr(replicate, "load_images", lambda *_: {
        split: splits[split] for split in ("train", "validation")})
    asked = []
    monkeypatch.setattr(evaluation, "predict", lambda *arguments, real=evaluation.predict: (
        asked.append(1), real(*arguments))[1])
    trial = replicate.train(replace(recipe, tested=False), 1, CPU, inputs, "trial")
    return trial, len(asked)


def test_trial_is_not_tested_and_keeps_no_model(folders, splits, monkeypatch):
    inputs, digest = folders
    recipe = tiny_recipe(digest, freeze="last_only", select="best")
    tested = replicate.train(recipe, 1, CPU, inputs, "run")
    trial, predictions = train_trial(recipe, inputs, splits, monkeypatch)
    assert predictions == len(trial.history)
    assert trial.model == {} and trial.movement == [] and trial.logits.shape == (0, 3)
    assert same(arrays(trial) | {"logits": 0}, arrays(tested) | {"logits": 0})
    times = {"seconds": None}
    assert [row | times for row in trial.history] == [row | times for row in tested.history]
    scores = [row["validation_accuracy"] for row in trial.history]
    assert trial.best_epoch == tested.best_epoch and scores[trial.best_epoch - 1] == max(scores)
    assert trial.cost.images == tested.cost.images and trial.cost.device == "test"


@pytest.mark.parametrize("knobs", [{}, {"phases": PHASES}, {"ema": 0.5}], ids=str)
def test_trial_is_validated_once_where_no_epoch_is_chosen(folders, splits, monkeypatch, knobs):
    inputs, digest = folders
    recipe = tiny_recipe(digest, freeze="last_only", **knobs)
    tested = replicate.train(recipe, 1, CPU, inputs, "run")
    trial, predictions = train_trial(recipe, inputs, splits, monkeypatch)
    assert predictions == 1 < len(trial.history)
    assert np.array_equal(trial.validation_logits, tested.validation_logits)
    assert [row["validation_loss"] for row in trial.history] == [
        None] * (len(trial.history) - 1) + [tested.history[-1]["validation_loss"]]


INDICES = {"train": [0, 1, 2, 3], "validation": [4, 5], "test": [2, 0]}


@pytest.fixture
def dataset(monkeypatch, tmp_path):
    """A function from knobs to a recipe with a dataset and a subset; the inputs; what of the
    datasets was opened."""
    monkeypatch.setitem(models.by_model(), "tiny", TINY)
    pixels = np.arange(6 * 8 * 8 * 3).reshape(6, 8, 8, 3).astype(np.uint8)
    labels = np.array([0, 1, 2, 0, 1, 2])
    opened = []

    def open_pinned(pinned, *_):
        opened.append(pinned)
        return {"train": (pixels, labels), "test": (pixels[:3], labels[:3])}

    monkeypatch.setattr(setting, "open_pinned", open_pinned)
    files.write_json(tmp_path / "some.json", INDICES)
    subset = PinnedSubset("some.json", files.file_digest(tmp_path / "some.json"))

    def recipe(**knobs):
        made = tiny_recipe(**knobs)
        photos = replace(made.dataset, decoded_digests={"train": "a", "test": "b"})
        return replace(made, seeds={1: subset}, dataset=photos)

    return recipe, setting.Inputs(subsets=tmp_path), opened


def test_test_images_of_a_trial_are_not_opened(dataset):
    recipe, inputs, opened = dataset
    for tested, names in ((True, {"train", "test"}), (False, {"train"})):
        splits = setting.load_images(replace(recipe(), tested=tested), 1, CPU, inputs)
        assert {split: len(images) for split, images in splits.items()} == {
            "train": 4, "validation": 2} | ({"test": 2} if tested else {})
        assert set(opened.pop().decoded_digests) == names


def test_training_on_all_images_leaves_none_to_validate_on(dataset):
    recipe, inputs, _ = dataset
    splits = setting.load_images(recipe(train_on="all"), 1, CPU, inputs)
    assert {split: len(images) for split, images in splits.items()} == {
        "train": 6, "validation": 0, "test": 2}
    assert splits["train"].labels.tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("knobs", [{}, {"select": "best"}, {"patience": 1}], ids=str)
def test_trained_on_all_images_there_is_no_best_epoch_and_no_patience(folders, splits, monkeypatch,
                                                                     knobs):
    empty = Images(np.zeros((0, 8, 8, 3), np.uint8), np.zeros(0, np.int64), [], plain(8),
                   CPU.torch, 10**9)
    monkeypatch.setattr(replicate, "load_images", lambda *_: splits | {"validation": empty})
    recipe = tiny_recipe(train_on="all", epochs=4)
    # With a search plan allows them: its trials look at validation images.
    found = [replicate.train(replace(recipe, knobs={**recipe.knobs, **each}), 1, CPU, folders[0],
                             "run") for each in (knobs, {})]
    assert [len(result.history) for result in found] == [4, 4]
    assert same(found[0].model, found[1].model) and found[0].best_epoch is None


def test_training_that_stops_earlier_follows_the_schedule_of_the_whole(folders):
    phases = [{"freeze": "last_only", "epochs": 2}, {"freeze": "none", "epochs": 4}]
    recipe = tiny_recipe(phases=phases, lr=0.01)
    whole = replicate.train(recipe, 1, CPU, folders[0], "run")
    times = {"seconds": None}
    for epochs in (1, 2, 3, 5):
        chosen = Chosen(stop_after=epochs, temperature=1.5)
        part = replicate.train(replace(recipe, chosen=chosen), 1, CPU, folders[0], "run")
        assert [row | times for row in part.history] == [
            row | times for row in whole.history[:epochs]]
        assert part.cost.images == epochs * SIZES["train"]
    beyond = replicate.train(replace(recipe, chosen=Chosen(9, None)), 1, CPU, folders[0], "run")
    assert same(beyond.model, whole.model)


def test_trial_that_diverges_is_not_said_to_be_a_failed_run(folders, capsys):
    inputs, digest = folders
    recipe = replace(tiny_recipe(digest, **HOT), tested=False)
    replicate.train(recipe, 1, CPU, inputs, "trial")
    assert re.fullmatch(r"warning: trial: training diverged \(the loss of epoch \d is (nan|inf)\); "
                        r"lr: 1e\+30 is too high for it, and this trial will not be chosen\n",
                        capsys.readouterr().err)


def test_run_for_which_nothing_could_be_chosen_trains_nothing_and_failed(folders, capsys):
    inputs, digest = folders
    recipe = replace(tiny_recipe(digest), chosen=Chosen(None, None, "every trial diverged"))
    result = replicate.train(recipe, 1, CPU, inputs, "run seed 1")
    check_diverged(result)
    assert result.history == [] and result.diverged == "every trial diverged"
    assert result.cost.images == result.cost.seconds == 0
    assert capsys.readouterr().err == (
        "warning: run seed 1: every trial diverged; the run is marked failed\n")


def test_seconds_are_of_the_processor_and_not_of_the_clock(begin, monkeypatch):
    """So they do not grow while the process waits."""
    training, train_epoch = begin(), loop.train_epoch
    monkeypatch.setattr(loop, "train_epoch",
                        lambda *given: time.sleep(0.5) or train_epoch(*given))
    before = time.process_time()
    assert epoch(training)["seconds"] < time.process_time() - before < 0.5
