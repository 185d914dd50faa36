"""`rank:` from params.yaml to the tables: what it reads, what it refuses, and that it changes
nothing of what is trained."""

import shutil

import numpy as np
import pytest
import torch

from helpers import message, params
from unfreeze import files, models
from unfreeze.data.reading.images import Images
from unfreeze.errors import UserError
from unfreeze.models import weights
from unfreeze.models.heads import IMAGENET_CLASSES
from unfreeze.params import race, rank
from unfreeze.params.settle import resolve
from unfreeze.ranking import features, table, written
from unfreeze.ranking.rank import Ranked, best_first
from unfreeze.recipe import Preprocessing
from unfreeze.training import devices

# --- What params.yaml may say


def test_models_and_patterns_are_planned_as_runs_on_the_same_images_are():
    plan = resolve(params({"base": {}}, rank=["mobilenet_v2", "resnet1*"]))
    assert list(plan.rank) == ["mobilenet_v2", "resnet101", "resnet152", "resnet18"]
    base, first = plan.runs["base"], plan.rank["mobilenet_v2"]
    assert first.preprocessing == base.preprocessing and first.weights == base.weights
    (file,) = first.subsets.values()
    assert file == next(iter(base.subsets.values()))
    assert {run.weights for run in plan.rank.values()} <= set(plan.weights)


def test_nothing_of_the_runs_hangs_on_it():
    """A plan with it has the same runs, and reads what they read and more."""
    without, ranked = (resolve(params({"base": {}, "lora": {"tune": "lora"}}, **given))
                       for given in ({}, {"rank": ["resnet18"]}))
    assert without.rank == {} and ranked.runs == without.runs
    assert ranked.subsets == without.subsets
    assert set(ranked.weights) - set(without.weights) == {"resnet18-imagenet1k_v1"}


def test_a_race_goes_on_with_it():
    given = params({"base": {}})
    assert race.identity(given) == race.identity({**given, "rank": ["resnet18"]})


def test_other_weights_of_a_model():
    plan = resolve(params({"base": {}}, rank=[
        "mobilenet_v2", {"model": "mobilenet_v2", "init": "IMAGENET1K_V2"}]))
    assert list(plan.rank) == ["mobilenet_v2", "mobilenet_v2 IMAGENET1K_V2"]
    assert len({run.weights for run in plan.rank.values()}) == 2


@pytest.mark.parametrize(("given", "words"), [
    ("resnet18", ["rank: 'resnet18' is not allowed; it must be a list of models"]),
    ({"resnet18": 1}, ["it must be a list of models"]),
    ([3], ["rank 1: 3 is not allowed"]),
    (["resnet81"], ["rank 1: 'resnet81' is no model", "did you mean 'resnet18'?"]),
    (["mobilenet_v2", "mobilenet_v2"], ["rank 2: mobilenet_v2 is there already"]),
    (["cnn"], ["rank 1: there are no pretrained weights of cnn", "leave it out"]),
    (["resnett*"], ["rank 1: 'resnett*' fits no model"]),
    ([{"model": "resnet18"}], ["rank 1:", "must have model and init"]),
    ([{"model": "resnet18", "init": "scratch"}], ["rank 1: init: scratch is not allowed"]),
    ([{"model": "resnet18", "init": "none.pth"}], ["none.pth", "no file that can be read"]),
    ([{"model": "resnet18", "init": "IMAGENET"}], ["'IMAGENET' is not allowed"]),
])
def test_what_it_refuses_in_one_line(given, words):
    message(params({"base": {}}, rank=given), "rank", *words)


def test_too_many_models_are_refused_before_any_is_looked_at(monkeypatch):
    monkeypatch.setattr(rank, "MOST", 3)
    message(params({"base": {}}, rank=["resnet*"]), "rank 1", "'resnet*' fits", "at most 3")


def test_a_size_that_a_model_does_not_take():
    """Named it is a mistake; of a pattern it is left out, with a warning."""
    given = params({"base": {}}, image_size=72)
    message({**given, "rank": ["vit_b_16"]}, "image_size (of rank.vit_b_16)",
            "72 does not fit vit_b_16")
    plan = resolve({**given, "rank": ["vit_b_[13]*", "resnet18"]} | {"image_size": 80})
    assert list(plan.rank) == ["vit_b_16", "resnet18"]
    assert any("rank: 'vit_b_[13]*' leaves out vit_b_32: " in line for line in plan.warnings)
    message({**given, "rank": ["vit_*"]}, "rank", "'vit_*' fits no model that can see these images")


# --- Features


def test_features_are_what_goes_into_the_last_layer(tmp_path):
    """Of a linear layer and of SqueezeNet's convolution; with them comes the model's own answer."""
    device = devices.Device(torch.device("cpu"), "fp32", "test")
    preprocessing = Preprocessing(64, "square", "bilinear", (0.5,) * 3, (0.25,) * 3)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    images = Images(pixels, np.arange(5) % 2, range(5), preprocessing, device.torch, 1 << 30)
    for name, dimensions in (("resnet18", 512), ("squeezenet1_1", 512)):
        network = models.build(name, "original", IMAGENET_CLASSES, 64).eval()
        file = weights.path(tmp_path, name)
        from safetensors.torch import save_file
        save_file({key: tensor for key, tensor in network.state_dict().items()
                   if not weights.is_counter(key)}, file)
        loaded = features.load(name, file, 64)
        found = features.of_images(loaded, images, device)
        ((batch, _),) = images.batches(5)
        with torch.inference_mode():
            expected = network(batch).softmax(1)
        assert found.values.shape == (5, dimensions)
        assert found.probabilities.float().allclose(expected, atol=1e-5)
        assert found.operations > 0 and loaded.has_head
        if name == "resnet18":
            with torch.inference_mode():
                logits = network.fc(found.values.float())
            assert logits.softmax(1).allclose(expected, atol=1e-5)
            assert loaded.parameters == sum(
                part.numel() for part in network.parameters()) - 513 * IMAGENET_CLASSES


def test_weights_without_a_classifier_have_features_all_the_same(tmp_path):
    from safetensors.torch import save_file
    network = models.build("resnet18", "original", IMAGENET_CLASSES, 64)
    file = weights.path(tmp_path, "features")
    save_file({key: tensor for key, tensor in network.state_dict().items()
               if not weights.is_counter(key) and not key.startswith("fc.")}, file)
    assert not features.load("resnet18", file, 64).has_head
    with pytest.raises(UserError, match="does not fit the model"):
        features.load("resnet34", file, 64)


# --- Tables


def ranked(name: str, probe: float, operations: int = 10, **scores) -> Ranked:
    values = {name: 0.5 for name in table.SCORES} | {"linear_probe": probe} | scores
    return Ranked(name, 20, 64, 512, 1000, 100, operations,
                  {key: value for key, value in values.items() if value is not None},
                  {"features": 1.5, **dict.fromkeys(values, 0.25)})


def test_the_best_come_first_and_of_equals_the_cheaper():
    some = [ranked("a", 50), ranked("b", 70, 20), ranked("c", 70, 10)]
    assert [each.name for each in best_first(some)] == ["c", "b", "a"]


def test_tables_and_picture(tmp_path):
    written.write([ranked("a", 70.25), ranked("b", 60, leep=None, nce=None)], tmp_path)
    rows = files.read_csv(tmp_path / table.MODELS)
    assert [row["linear_probe"] for row in rows] == ["70.25", "60"]
    assert rows[1]["leep"] == "" and rows[0]["leep"] == "0.5"
    assert "linear probe (%)" in (tmp_path / written.PICTURE).read_text()
    assert files.read_csv(tmp_path / table.SECONDS)[0]["features"] == "1.5"
    text = written.as_text([ranked("a", 70.25), ranked("b", 60, leep=None)])
    assert text.splitlines()[2].split()[:2] == ["b", "60.0"] and " - " in text


def test_without_models_tables_are_empty_and_there_is_no_picture(tmp_path):
    written.write([], tmp_path)
    assert files.read_csv(tmp_path / table.MODELS) == []
    assert not (tmp_path / written.PICTURE).exists()


# --- The pipeline


def test_ranking_comes_before_training_and_changes_no_recipe(finished, tmp_path):
    done, _ = finished
    shutil.copytree(done.folder, tmp_path / "project", symlinks=True)
    project = type(done)(tmp_path / "project", done.environment["UNFREEZE_MIRROR"],
                         done.environment["UNFREEZE_SCRATCH"])
    recipes = {file.name: file.read_bytes() for file in (project.folder / "recipes").iterdir()}
    project.edit("params.yaml", "\nruns:\n", "\nrank: [tiny_a, 'tiny_[b]']\nruns:\n")
    output = project.run("dvc", "repro", "rank")
    assert "linear probe (%)" in output and "Running stage 'train" not in output
    assert (project.made / "ranked" / written.PICTURE).is_file()
    first = {row["model"]: row for row in files.read_csv(project.made / "ranked/models.csv")}
    assert set(first) == {"tiny_a", "tiny_b"} and first["tiny_a"]["images"] == "60"
    output = project.run("dvc", "repro")
    assert "Running stage 'train@" not in output and "Running stage 'choose@" not in output
    assert {file.name: file.read_bytes()
            for file in (project.folder / "recipes").iterdir()} == recipes
    (row,) = [row for row in files.read_csv(project.folder / "plots/tables/models.csv")
              if row["model"] == "tiny_a"]
    assert row["run"] == "base" and float(row["score"]) >= 0
    report = (project.folder / "report.md").read_text()
    assert "## Which model, before any training" in report and "Seconds that" not in report
    assert "Seconds that ranking took" in (project.made / "report.html").read_text()
