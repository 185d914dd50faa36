"""A recipe goes to its file and back, and identifies what it determines."""

import pickle
from dataclasses import replace

import pytest
import yaml

from helpers import ROOT
from unfreeze import files, recipe
from unfreeze.errors import UserError
from unfreeze.recipe import (
    Chosen,
    Phase,
    PinnedDataset,
    PinnedSubset,
    PinnedWeights,
    Preprocessing,
    Recipe,
)

PHASE = {"freeze": "last_only", "epochs": 1, "lr": 0.001, "lr_scale": {"stem": 0.5},
         "lr_decay": 1.0, "weight_decay": 0.0, "schedule": "cosine", "warmup_epochs": 0}
RECIPE = Recipe(
    knobs={"model": "resnet18", "tune": "lora", "batch_size": 64, "lora_layers": ["layer4.*"]},
    augmentations={"flip": True, "rotation": 10},
    phases=(Phase(PHASE), Phase(PHASE | {"freeze": {"last": 2}, "lr_scale": {}})),
    preprocessing=Preprocessing(64, "square", "bilinear", (0.5, 0.25, 0.0), (1.0, 0.5, 0.25)),
    dataset=PinnedDataset("flowers", "d" * 64, ("rose", "yes", "1"), "flowers-64",
                          {"train": "e" * 64, "test": "f" * 64}),
    weights=PinnedWeights("resnet18-v1", "a" * 64, own=False, unused=("aux",)),
    seeds={42: PinnedSubset("a.json", "1b" * 32), 43: PinnedSubset("b.json", "2" * 64)},
    software={"torch": "2.15.0"},
    code="c" * 64)


def test_written_and_read_it_is_the_same(tmp_path):
    for each in (RECIPE, replace(RECIPE, weights=None, augmentations={}, software={}),
                 replace(RECIPE, tested=False), replace(RECIPE, chosen=Chosen(3, 1.25)),
                 replace(RECIPE, chosen=Chosen(None, None, "every trial diverged"))):
        recipe.write(tmp_path / "r.yaml", each)
        assert recipe.read(tmp_path / "r.yaml") == each


def test_a_change_is_one_line_of_the_file(tmp_path):
    """So that `git diff recipes/` tells what will be trained again, and why."""
    recipe.write(tmp_path / "r.yaml", RECIPE)
    lines = (tmp_path / "r.yaml").read_text().splitlines()
    changes = {
        "  batch_size: 64": replace(RECIPE, knobs={**RECIPE.knobs, "batch_size": 32}),
        "  rotation: 10": replace(RECIPE, augmentations={"flip": True, "rotation": 20}),
        "- freeze: last_only": replace(RECIPE, phases=(
            Phase({**PHASE, "freeze": "none"}), RECIPE.phases[1])),
        "  lr_scale: {stem: 0.5}": replace(RECIPE, phases=(
            Phase({**PHASE, "lr_scale": {"stem": 0.1}}), RECIPE.phases[1])),
        f"    digest: {'1b' * 32}": replace(RECIPE, seeds={
            **RECIPE.seeds, 42: PinnedSubset("a.json", "3" * 64)}),
        f"code: {'c' * 64}": replace(RECIPE, code="d" * 64),
        "tested: true": replace(RECIPE, tested=False),
    }
    for line, other in changes.items():
        recipe.write(tmp_path / "r.yaml", other)
        changed = (tmp_path / "r.yaml").read_text().splitlines()
        assert [was for was, now in zip(lines, changed, strict=True) if was != now] == [line]


def test_a_choice_says_when_to_stop_and_why_there_is_none():
    assert (RECIPE.stop_after, RECIPE.failed) == (None, "")
    assert replace(RECIPE, chosen=Chosen(3, None)).stop_after == 3
    assert replace(RECIPE, chosen=Chosen(None, None, "all diverged")).failed == "all diverged"


def test_what_trains_is_told_by_the_epochs():
    assert RECIPE.trains
    assert not replace(RECIPE, phases=(Phase({"epochs": 0}),)).trains
    assert replace(RECIPE, phases=(Phase({"epochs": 0}), Phase({"epochs": 1}))).trains


# What `dvc repro` wrote before recipes were typed.
OLD = """\
knobs: {model: resnet18, image_size: 64}
phases:
- epochs: 3
  lr: 0.001
  parts:
  - {part: stem, module: conv1, tune: full, lr_scale: 1.0}
normalization: {mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}
transform: {resize: null, interpolation: bilinear}
dataset: {name: cifar10, digest: 4d0b}
weights: null
classes: [airplane, automobile]
seeds:
  42: {subset: a.json, digest: c6e0}
software: {torch: 2.15.0}
code: 2bb3
"""


@pytest.mark.parametrize("text", [
    OLD, "", "[]", "a", "{}", "phases: []", "phases: {}", "1: 2", "phases: [1]"])
def test_what_is_no_recipe_of_now_is_one_line(tmp_path, text):
    (tmp_path / "base.yaml").write_text(text)
    with pytest.raises(UserError, match=r"base.yaml: is no recipe of this version.*`dvc repro`"):
        recipe.read(tmp_path / "base.yaml")


@pytest.mark.parametrize("change", [
    lambda r: r.pop("augmentations"),
    lambda r: r.update(new=1),
    lambda r: r.update(phases=[]),
    lambda r: r.update(phases=[None]),
    lambda r: r.update(seeds={}),
    lambda r: r.update(seeds={"42": r["seeds"][42]}),
    lambda r: r.update(seeds={True: r["seeds"][42]}),
    lambda r: r["seeds"][42].pop("digest"),
    lambda r: r["seeds"][42].update(digest=1),
    lambda r: r.update(knobs=[]),
    lambda r: r.update(code=None),
    lambda r: r.update(dataset=None),
    lambda r: r["dataset"].update(classes="rose"),
    lambda r: r["dataset"].update(decoded_digests=None),
    lambda r: r["preprocessing"].update(image_size=64.0),
    lambda r: r["preprocessing"].update(image_size=True),
    lambda r: r["preprocessing"].update(resize=None),
    lambda r: r["preprocessing"].update(mean=None),
    lambda r: r["preprocessing"].update(mean=["0.5"]),
    lambda r: r["weights"].update(own="no"),
    lambda r: r["weights"].update(own=0),
    lambda r: r["software"].update(torch=2.15),
    lambda r: r.update(tested=None),
    lambda r: r.update(chosen={"stop_after": 1.5, "temperature": None, "failed": ""}),
    lambda r: r.update(chosen={"stop_after": 1}),
])
def test_values_of_other_types_are_no_recipe(tmp_path, change):
    file = tmp_path / "r.yaml"
    recipe.write(file, RECIPE)
    content = yaml.safe_load(file.read_text())
    change(content)
    files.write_yaml(file, content)
    with pytest.raises(UserError, match="`dvc repro`"):
        recipe.read(file)


def test_a_knob_that_a_recipe_lacks_is_one_line_once_it_is_read(tmp_path):
    file = tmp_path / "r.yaml"
    recipe.write(file, RECIPE)
    found = recipe.read(file)
    assert found == RECIPE
    for knobs in (found.knobs, found.phases[0].knobs):
        with pytest.raises(UserError, match=r"r\.yaml: lacks momentums; run `dvc repro`"):
            knobs["momentums"]
    assert pickle.loads(pickle.dumps(found)) == found  # to another process


def test_missing_recipe_is_one_line(tmp_path):
    with pytest.raises(UserError, match="base.yaml: no such file.*`dvc repro`"):
        recipe.read(tmp_path / "base.yaml")


def test_recipes_of_the_project_can_be_read():
    for file in (ROOT / "recipes").glob("*.yaml"):
        assert recipe.read(file).seeds


@pytest.mark.parametrize("other", [
    replace(RECIPE, seeds={**RECIPE.seeds, 44: PinnedSubset("c.json", "3")}),
    replace(RECIPE, seeds={42: RECIPE.seeds[42]}),
    replace(RECIPE, seeds={**RECIPE.seeds, 43: PinnedSubset("b.json", "x")}),
    replace(RECIPE, seeds=dict(reversed(RECIPE.seeds.items()))),
    replace(RECIPE, knobs=dict(reversed(RECIPE.knobs.items()))),
    replace(RECIPE, augmentations=dict(reversed(RECIPE.augmentations.items()))),
    replace(RECIPE, chosen=Chosen(None, 1.25)),
])
def test_replicate_is_the_same_whatever_other_seeds_do(other):
    assert recipe.replicate_digest(other, 42) == recipe.replicate_digest(RECIPE, 42)


@pytest.mark.parametrize("other", [
    replace(RECIPE, seeds={42: PinnedSubset("a.json", "x")}),
    replace(RECIPE, knobs={**RECIPE.knobs, "batch_size": 32}),
    replace(RECIPE, knobs={**RECIPE.knobs, "new": 1}),
    replace(RECIPE, augmentations={"flip": True}),
    replace(RECIPE, phases=RECIPE.phases[::-1]),
    replace(RECIPE, phases=(*RECIPE.phases, RECIPE.phases[0])),
    replace(RECIPE, preprocessing=replace(RECIPE.preprocessing, resize=80)),
    replace(RECIPE, preprocessing=replace(RECIPE.preprocessing, mean=(0.5, 0.25, 0.1))),
    replace(RECIPE, dataset=replace(RECIPE.dataset, digest="x")),
    replace(RECIPE, dataset=replace(RECIPE.dataset, classes=("rose", "yes"))),
    replace(RECIPE, dataset=replace(RECIPE.dataset, decoded_digests={"train": "x"})),
    replace(RECIPE, weights=None),
    replace(RECIPE, weights=replace(RECIPE.weights, own=True)),
    replace(RECIPE, software={"torch": "3"}),
    replace(RECIPE, code="x"),
    replace(RECIPE, tested=False),
    replace(RECIPE, chosen=Chosen(1, None)),
])
def test_replicate_is_another_when_what_it_reads_changes(other):
    assert recipe.replicate_digest(other, 42) != recipe.replicate_digest(RECIPE, 42)


def test_replicate_is_the_same_once_read(tmp_path):
    recipe.write(tmp_path / "r.yaml", RECIPE)
    assert (recipe.replicate_digest(recipe.read(tmp_path / "r.yaml"), 42)
            == recipe.replicate_digest(RECIPE, 42))


def test_seeds_are_different_replicates():
    same_subset = replace(RECIPE, seeds={42: RECIPE.seeds[42], 43: RECIPE.seeds[42]})
    assert recipe.replicate_digest(same_subset, 42) != recipe.replicate_digest(same_subset, 43)


def test_software_has_no_local_suffix():
    import torch

    assert recipe.software()["torch"] == torch.__version__.split("+")[0]
    assert set(recipe.software()) == {"torch", "torchvision"}
