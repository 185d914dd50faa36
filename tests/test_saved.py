import shutil
from dataclasses import replace

import pytest
import safetensors.torch
import torch

from helpers import TINY, tiny_recipe
from unfreeze import files, models, places
from unfreeze import recipe as recipes
from unfreeze.errors import UserError
from unfreeze.models import weights
from unfreeze.training import loop, saved
from unfreeze.training.assemble import assemble, tables
from unfreeze.training.devices import Device
from unfreeze.tuning import groups

torch.set_num_threads(1)  # on tiny images more threads only wait for one another

CPU = Device(torch.device("cpu"), "fp32", "test")
SEEDS = (42, 7)
RUNS = {"tuned": {"freeze": "last_only"}, "scratch": {},
        "policy": {"freeze": "last_only", "frozen_batchnorm": "train"},
        "lora": {"tune": "lora", "lora_rank": 2, "head": "mlp", "head_width": 4}}


def train_a_little(model, recipe, seed):
    (table,) = tables(recipe)
    groups.freeze(model, table)
    optimizer = loop.make_optimizer(groups.parameter_groups(model, table, 0.01, 0.0),
                                    {"optimizer": "adam"})
    loop.set_training_mode(model, recipe.knobs["frozen_batchnorm"])
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    loop.train_epoch(model, optimizer, [(images, torch.arange(4) % 3)], CPU, loop.Step(),
                     lambda: None)


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.by_model(), "tiny", TINY)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory, tiny):
    """A project with trained runs, each with two seeds, and the models as training left them:
    (folder, {(run, seed): state dict})."""
    folder = tmp_path_factory.mktemp("project")
    (folder / places.WEIGHTS).mkdir(parents=True)
    torch.manual_seed(5)
    official = TINY.build("tiny", "original", 1000, 8).state_dict()
    official = {name: tensor for name, tensor in official.items() if not weights.is_counter(name)}
    file = weights.path(folder / places.WEIGHTS, "tiny-v1")
    safetensors.torch.save_file(official, file)
    digest = weights.tensors_digest(weights.read_arrays(file))
    left = {}
    for run, knobs in RUNS.items():
        recipe = tiny_recipe(None if run == "scratch" else digest, seeds=list(SEEDS), **knobs)
        recipes.write(folder / places.RECIPES / f"{run}.yaml", recipe)
        changed = {}
        for seed in SEEDS:
            model, initial = assemble(recipe, seed, folder / places.WEIGHTS)
            model = model.to(memory_format=torch.channels_last)
            train_a_little(model, recipe, seed)
            changed[seed] = saved.changed(model.state_dict(), initial)
            left[run, seed] = {name: t.clone() for name, t in model.state_dict().items()}
        files.write_bytes(folder / places.RUNS / run / "model.safetensors",
                          safetensors.torch.save({
                              f"{seed}/{name}": tensor for seed, tensors in changed.items()
                              for name, tensor in tensors.items()}))
    return folder, left


@pytest.fixture
def copy(root, tmp_path):
    """A copy of the project to damage."""
    return shutil.copytree(root[0], tmp_path / "project")


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("seed", SEEDS)
def test_model_comes_back_bit_for_bit(root, run, seed):
    folder, left = root
    state = saved.load(run, seed, folder).state_dict()
    assert state.keys() == left[run, seed].keys()
    for name, tensor in state.items():
        assert torch.equal(tensor, left[run, seed][name]), name
        assert tensor.dtype == left[run, seed][name].dtype


def test_model_comes_back_in_eval_mode_and_predicts(root):
    model = saved.load("tuned", root=root[0])
    assert not any(module.training for module in model.modules())
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 3)


def test_first_seed_is_the_default(root):
    folder, left = root
    first, other = (left["scratch", seed]["head.weight"] for seed in SEEDS)
    found = saved.load("scratch", root=folder).state_dict()["head.weight"]
    assert torch.equal(found, first) and not torch.equal(found, other)


def test_only_what_training_changed_is_stored(root):
    folder, left = root
    learned = {
        "tuned": lambda name: name.startswith("head."),
        "lora": lambda name: ".lora." in name or name.startswith("head."),
        # Its frozen BatchNorm trains no weight, but goes on counting steps.
        "policy": lambda name: name.startswith("head.") or "1.running" in name or "1.num" in name,
        "scratch": lambda name: True,
    }
    for run in RUNS:
        stored = safetensors.torch.load_file(folder / places.RUNS / run / "model.safetensors")
        assert stored.keys() == {f"{seed}/{name}" for seed in SEEDS for name in left[run, seed]
                                 if learned[run](name)}, run


@pytest.mark.parametrize(("before", "after", "stored"), [
    ([1.0, 2.0], [1.0, 2.0], False), ([1.0, 2.0], [1.0, 2.0000002], True),
    ([1.0], [1.0, 1.0], True), ([float("nan")], [float("nan")], False), ([0.0], [-0.0], True)])
def test_changed_means_not_bit_for_bit_the_same(before, after, stored):
    found = saved.changed({"w": torch.tensor(after)}, {"w": torch.tensor(before)})
    assert ("w" in found) == stored


def test_new_tensors_are_stored():
    assert saved.changed({"w": torch.ones(2)}, {}).keys() == {"w"}


def refused(folder, *words, run="tuned", seed=None):
    with pytest.raises(UserError) as caught:
        saved.load(run, seed, folder)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_weights_are_refused(copy):
    file = weights.path(copy / places.WEIGHTS, "tiny-v1")
    tensors = safetensors.torch.load_file(file)
    tensors["stem.0.weight"] += 1
    safetensors.torch.save_file(tensors, file)
    refused(copy, "tiny-v1.safetensors", "is not what the recipe names")


def test_missing_weights_are_named(copy):
    weights.path(copy / places.WEIGHTS, "tiny-v1").unlink()
    refused(copy, "tiny-v1.safetensors: missing")
    saved.load("scratch", root=copy)  # which needs none


def test_missing_model_is_named(copy):
    (copy / places.RUNS / "tuned/model.safetensors").unlink()
    refused(copy, "runs/tuned/model.safetensors", "missing or damaged")


def test_damaged_model_is_named(copy):
    path = copy / places.RUNS / "tuned/model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    refused(copy, "runs/tuned/model.safetensors", "missing or damaged")


@pytest.mark.parametrize("run", ["tuned", "scratch"])
def test_model_file_of_other_seeds_is_a_clear_error(copy, run):
    # As when recipes/ is newer than runs/: a seed was added and not yet trained.
    path = copy / "recipes" / f"{run}.yaml"
    recipe = recipes.read(path)
    recipes.write(path, replace(recipe, seeds={**recipe.seeds, 99: recipe.seeds[SEEDS[0]]}))
    refused(copy, f"runs/{run}/model.safetensors", run=run, seed=99)


def test_model_file_of_another_shape_is_a_clear_error(copy):
    # As when recipes/ is newer than runs/: another dataset, with more classes.
    path = copy / "recipes" / "tuned.yaml"
    recipe = recipes.read(path)
    recipes.write(path, replace(recipe, dataset=replace(recipe.dataset, classes=tuple("abcd"))))
    refused(copy, "runs/tuned/model.safetensors")


@pytest.mark.parametrize(("knob", "value", "said"), [
    ("head", "replcae", "did you mean 'replace'?"), ("tune", "lorra", "did you mean 'lora'?")])
def test_a_recipe_that_names_what_there_is_not_is_a_clear_error(copy, knob, value, said):
    path = copy / "recipes" / "lora.yaml"
    recipe = recipes.read(path)
    recipes.write(path, replace(recipe, knobs={**recipe.knobs, knob: value}))
    refused(copy, f"recipes/lora.yaml: {knob}: {value!r} is no ", said, "allowed: ", run="lora")


def test_unknown_seed_and_run_are_named(copy):
    refused(copy, "recipes/tuned.yaml: no seed 1", "42, 7", seed=1)
    refused(copy, "nosuch.yaml: no such file", run="nosuch")
