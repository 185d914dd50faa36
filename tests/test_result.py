"""A run whose replicates are all in the scratch folder, without torch and with the same bytes."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers import ROOT, tiny_recipe
from unfreeze import files
from unfreeze import recipe as recipes
from unfreeze.data.reading import arrays
from unfreeze.recipe import Chosen, PinnedDataset, PinnedSubset, replicate_digest
from unfreeze.training import arithmetic, checkpoint, devices, outputs, result, run
from unfreeze.training.finished import Cost, Finished
from unfreeze.training.inputs import Inputs

torch.set_num_threads(1)  # on tiny images more threads only wait for one another

COST = Cost(seconds=1.5, images=20, peak_memory_bytes=7, device="some", precision="fp32")
FINISHED = Finished(
    model={"head.weight": np.arange(6, dtype=np.float32).reshape(3, 2), "steps": np.array(3)},
    logits=np.zeros((4, 3), np.float32), validation_logits=np.full((0, 3), np.nan, np.float32),
    validation_labels=np.zeros(0, np.int64), best_epoch=2,
    history=[{"epoch": 1, "train_loss": 0.1, "validation_loss": None, "lr": 1e-30},
             {"epoch": 2, "train_loss": float("nan"), "validation_loss": None, "lr": 0.1}],
    movement=[("stem", 10, 0.123456, None)], cost=COST, diverged="the loss of epoch 2 is nan")

# Writes the outputs of what is kept, in a process without torch.
WRITE = """
import sys
sys.modules["torch"] = None  # whoever imports it fails
from pathlib import Path
from unfreeze import recipe
from unfreeze.training import outputs, result
from unfreeze.training.inputs import Inputs

folder = Path(sys.argv[1])
pinned = recipe.read(folder / "base.yaml")
kept = result.kept("base", pinned)
outputs.write(folder / "kept", pinned, kept, Inputs(data=folder, subsets=folder))
"""


def test_finished_goes_to_bytes_and_back():
    found = Finished.from_bytes(FINISHED.to_bytes())
    assert repr(replace(found, model={})) == repr(replace(FINISHED, model={}))  # nan is not nan
    assert found.model.keys() == FINISHED.model.keys()
    for name, array in FINISHED.model.items():
        assert found.model[name].dtype == array.dtype and np.array_equal(found.model[name], array)


def test_bytes_of_another_version_are_none(monkeypatch):
    whole = FINISHED.to_bytes()
    for name in ("movement", "cost", "best_epoch", "peak_memory_bytes"):
        assert Finished.from_bytes(whole.replace(name.encode(), b"x" * len(name))) is None
    assert Finished.from_bytes(b"") is None
    assert Finished.from_bytes(whole.replace(b"validation_logits", b"validation_logitz")) is None


@pytest.mark.parametrize("variables", [
    {}, {"UNFREEZE_PRECISION": "fp32"}, {"UNFREEZE_PRECISION": "bf16"},
    {"UNFREEZE_COMPILE": "auto"}], ids=str)
def test_arithmetic_is_known_without_torch(monkeypatch, variables):
    monkeypatch.setenv("UNFREEZE_DEVICE", "cpu")
    for name in ("UNFREEZE_PRECISION", "UNFREEZE_COMPILE", "UNFREEZE_PROCESSES", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert arithmetic.without_torch() == devices.pick().arithmetic


@pytest.mark.parametrize("variables", [
    {"UNFREEZE_DEVICE": "cuda"}, {"UNFREEZE_PRECISION": "tf32"}, {"UNFREEZE_PROCESSES": "2"},
    {"WORLD_SIZE": "2"}], ids=str)
def test_where_it_might_be_another_torch_is_asked(monkeypatch, variables):
    monkeypatch.setenv("UNFREEZE_DEVICE", "cpu")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert arithmetic.without_torch() is None


@pytest.fixture
def study(monkeypatch, tmp_path):
    """A folder with a dataset and a subset, and a recipe of two seeds that is trained on them."""
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("UNFREEZE_DEVICE", "cpu")
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    pixels = rng.integers(0, 255, (30, 32, 32, 3)).astype(np.uint8)
    stored = arrays.Arrays(pixels, labels, pixels[:12], labels[:12])
    arrays.save(tmp_path / "some", stored, {"digest": arrays.digest(stored)})
    files.write_json(tmp_path / "subset.json", {
        "train": [*range(20)], "validation": [*range(20, 26)], "test": [*range(10)]})
    subset = PinnedSubset("subset.json", files.file_digest(tmp_path / "subset.json"))
    recipe = replace(
        tiny_recipe(model="cnn", image_size=32, epochs=2),
        dataset=PinnedDataset("some", arrays.digest(stored), ("a", "b", "c")),
        seeds={1: subset, 2: subset})
    return tmp_path, recipe


@pytest.mark.parametrize("change", [
    {}, {"chosen": Chosen(1, 1.5)}, {"chosen": Chosen(None, None, "all diverged")}], ids=str)
def test_what_is_kept_is_written_without_torch(study, capsys, change):
    folder, recipe = study
    recipe = replace(recipe, **change)
    recipes.write(folder / "base.yaml", recipe)
    inputs = Inputs(data=folder, subsets=folder)
    trained = run.train("base", recipe, devices.pick(), inputs)
    outputs.write(folder / "trained", recipe, trained, inputs)
    said, warned = capsys.readouterr()
    process = subprocess.run(
        [sys.executable, "-c", WRITE, folder], text=True, capture_output=True, check=True,
        env={"PYTHONPATH": str(ROOT / "src"), "UNFREEZE_SCRATCH": str(folder / "scratch"),
             "UNFREEZE_DEVICE": "cpu"})
    names = [path.name for path in sorted((folder / "trained").iterdir())]
    assert len(names) == 6
    for name in names:
        assert (folder / "kept" / name).read_bytes() == (folder / "trained" / name).read_bytes()
    assert process.stderr == warned
    table = [line for line in said.splitlines() if not line.startswith("base seed")]
    assert process.stdout.splitlines() == table + [
        f"base seed {seed}: finished before, taken from the scratch folder" for seed in (1, 2)]


def test_outputs_tell_what_training_took(study):
    folder, recipe = study
    inputs = Inputs(data=folder, subsets=folder)
    trained = run.train("base", recipe, devices.pick(), inputs)
    outputs.write(folder / "made", recipe, trained, inputs)
    cost = files.read_json(folder / "made" / "cost.json")
    epoch = trained.counted.operations(20, [1])
    assert cost["operations"] == 2 * epoch == 2 * 20 * (
        cost["flops_forward"] + cost["flops_backward"])
    assert set(cost["seconds"]) == {"1", "2"} and min(cost["seconds"].values()) > 0
    assert cost["seconds_per_replicate"] == sum(cost["seconds"].values()) / 2
    assert (cost["device"], cost["precision"], cost["threads"]) == (
        devices.pick().name, devices.pick().precision, 1)
    short = replace(recipe, chosen=Chosen(1, 2.5))
    outputs.write(folder / "short", short, run.train("base", short, devices.pick(), inputs), inputs)
    assert files.read_json(folder / "short" / "cost.json")["operations"] == epoch
    with np.load(folder / "short" / "predictions.npz") as predictions:
        assert predictions["temperature"] == 2.5 and predictions["failed"] == ""


def test_a_run_that_is_kept_in_part_is_not_kept(study):
    folder, recipe = study
    assert result.kept("base", recipe) is None
    one = replace(recipe, seeds={1: recipe.seeds[1]})
    run.train("base", one, devices.pick(), Inputs(data=folder, subsets=folder))
    assert result.kept("base", one) and result.kept("base", recipe) is None
    kind = arithmetic.without_torch()
    checkpoint.Scratch(replicate_digest(recipe, 2), kind).save_done(b"of another version")
    assert result.kept("base", recipe) is None


def test_what_a_cluster_of_another_kind_has_trained_is_taken_whole_runs_at_a_time(
        study, monkeypatch):
    folder, recipe = study
    for seed in recipe.seeds:
        content = replace(FINISHED, diverged=None,
                          logits=np.full((10, 3), seed, np.float32)).to_bytes()
        checkpoint.Scratch(replicate_digest(recipe, seed), "cuda-bf16").save_done(content)
        assert result.kept("base", recipe) is None
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    kept = result.kept("base", recipe)
    assert [each.logits[0, 0] for each in kept.replicates.values()] == [1, 2]
    run.train("base", replace(recipe, seeds={1: recipe.seeds[1]}), devices.pick(),
              Inputs(data=folder, subsets=folder))
    assert result.kept("base", recipe).replicates[1].logits[0, 0] == 1  # as the other seed's
