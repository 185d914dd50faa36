"""Similarity of trained models: the arithmetic, the two models side by side, what people read."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from torch import nn

from helpers import ROOT, TINY, plain, tiny_recipe
from unfreeze import files, models, places
from unfreeze import recipe as recipes
from unfreeze.comparing import compare, similarity
from unfreeze.data.reading import arrays
from unfreeze.data.reading.images import Images
from unfreeze.errors import UserError
from unfreeze.models import weights
from unfreeze.recipe import PinnedDataset, PinnedSubset
from unfreeze.training import saved
from unfreeze.training.assemble import assemble
from unfreeze.training.devices import Device
from unfreeze.training.finished import MOVEMENT
from unfreeze.tuning.methods.tinytl import LiteResidual
from unfreeze.tuning.rules import Row

torch.set_num_threads(1)  # on tiny tensors more threads only wait for one another

CPU = Device(torch.device("cpu"), "fp32", "test")
RNG = np.random.default_rng(0)


def f32(*values):
    return np.array(values, np.float32)


@pytest.mark.parametrize(("one", "other", "expected"), [
    ([1, 0], [1, 1], 0.5**0.5), ([1, 2], [-2, -4], -1), ([[1, 0], [0, 0]], [[0, 0], [0, 3]], 0),
    ([0, 0], [1, 1], None), ([0, 0], [0, 0], None)])
def test_cosine_by_hand(one, other, expected):
    found = similarity.cosine(f32(*one), f32(*other))
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-12))


def test_cosine_is_in_float64():
    one = 1e-30 * RNG.standard_normal(50).astype(np.float32)  # squares vanish in float32
    assert similarity.cosine(one, one) == pytest.approx(1)


def hsic_cka(x, y):
    """Kornblith et al. 2019, equations 3 and 4: by kernel matrices and a centring matrix."""
    n = len(x)
    centre = np.eye(n) - np.ones((n, n)) / n

    def hsic(k, other):
        return np.trace(k @ centre @ other @ centre) / (n - 1) ** 2

    k, other = x @ x.T, y @ y.T
    return hsic(k, other) / np.sqrt(hsic(k, k) * hsic(other, other))


def test_cka_is_the_papers():
    x, noise = RNG.standard_normal((40, 7)), RNG.standard_normal((40, 5))
    y = x[:, :5] + noise + 3
    found = similarity.linear_cka(x, y)
    assert found == pytest.approx(hsic_cka(x, y), rel=1e-9)
    assert 0.2 < found < 0.9
    assert similarity.linear_cka(y, x) == pytest.approx(found)


def test_cka_does_not_see_rotation_scale_and_shift():
    x = RNG.standard_normal((30, 6))
    rotation, _ = np.linalg.qr(RNG.standard_normal((6, 6)))
    assert similarity.linear_cka(x, 5 * x @ rotation - 2) == pytest.approx(1)
    assert similarity.linear_cka(x, RNG.standard_normal((30, 6)) * [9, 1, 1, 1, 1, 1]) < 0.5


def test_cka_of_what_never_changes_is_undefined():
    assert similarity.linear_cka(RNG.standard_normal((9, 3)), np.ones((9, 2))) is None


def test_rows_hold_what_both_models_have_in_equal_shape():
    first = {"stem": {"a.weight": np.ones((2, 3)), "a.bias": f32(1, 0)},
             "head": {"h.weight": np.ones((4, 2)), "h.in_proj_bias": f32(1), "only": f32(1)}}
    second = {"stem": {"a.weight": -np.ones((2, 3)), "a.bias": f32(0, 0)},
              "head": {"h.weight": np.ones((5, 2)), "h.in_proj_bias": f32(2)}}
    assert similarity.cosine_rows(7, first, second) == [
        (7, "cosine", "stem", "weight", "a.weight", "2x3", "", -1.0),
        (7, "cosine", "stem", "bias", "a.bias", "2", "", None),
        (7, "cosine", "head", "bias", "h.in_proj_bias", "1", "", 1.0)]


def test_distances_are_those_of_the_seed():
    def row(seed, distance, relative):
        return {"seed": seed, "part": "stem", "parameters": "9", "distance": distance,
                "relative_distance": relative}

    found = similarity.distance_rows(7, "tuned", [row("70", "1.0", "1.0"), row("7", "2.5", "")])
    assert found == [(7, "distance", "stem", "", "", "", "tuned", 2.5),
                     (7, "relative_distance", "stem", "", "", "", "tuned", None)]


def test_similarity_imports_no_torch():
    check = "import sys, unfreeze.comparing.similarity; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check],
                          env={"PYTHONPATH": str(ROOT / "src")}).returncode == 0


class Tiny(nn.Module):
    """A part of two modules, one with a bare parameter and tokens, a head, and a branch as TinyTL
    adds one."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 1, 4))
        self.conv = nn.Conv2d(3, 4, 3, 2)
        self.norm = nn.BatchNorm2d(4)
        self.mix = nn.Linear(4, 4)
        self.mix.lite = LiteResidual(4, 4, 1, 4, 2)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = nn.functional.relu(self.norm(self.conv(x)), inplace=True)
        x = self.mix(x.flatten(2).mT + self.token)
        return self.head(x[:, 0])


PARTS = [Row(part, module, "full", 1.0) for module, part in (
    ("conv", "stem"), ("norm", "stem"), ("token", "stage1"), ("mix", "stage1"), ("head", "head"))]


def tiny(seed):
    torch.manual_seed(seed)
    return compare.Trained(Tiny().eval(), PARTS)


def test_parameters_come_by_part_without_added_branches():
    found = compare.parameters(tiny(0))
    assert {part: list(tensors) for part, tensors in found.items()} == {
        "stem": ["conv.weight", "conv.bias", "norm.weight", "norm.bias"],
        "stage1": ["token", "mix.weight", "mix.bias"], "head": ["head.weight", "head.bias"]}


def some_images(count=5, size=9):
    pixels = RNG.integers(0, 256, (count, size, size, 3), np.uint8)
    return Images(pixels, np.zeros(count), range(count), plain(size), CPU.torch, 0)


@torch.no_grad()
def test_activations_are_those_of_each_parts_last_module():
    trained, images = tiny(0), some_images()
    found = compare.activations(trained, images, CPU)
    ((batch, _),) = images.batches(100)
    model = trained.model
    stem = model.norm(model.conv(batch))
    tokens = model.mix(stem.relu().flatten(2).mT + model.token)
    expected = {"stem": stem.mean((2, 3)), "stage1": tokens.mean(1), "head": model(batch)}
    assert found.keys() == expected.keys()
    for part, values in expected.items():
        np.testing.assert_allclose(found[part], values.numpy(), rtol=1e-5, atol=1e-6)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("shape", [(2, 7, 5, 5), (2, 5, 5, 7), (2, 25, 7), (2, 7)])
def test_activations_are_averaged_over_space_or_tokens(shape):
    assert compare.pooled(torch.zeros(shape)).shape == (2, 7)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Recipes and images of two runs that share the seeds 2 and 1; their models are tiny ones, the
    same in both runs for seed 1."""
    monkeypatch.setitem(models.by_model(), "tiny", TINY)
    pixels, labels = RNG.integers(0, 256, (520, 9, 9, 3), np.uint8), np.zeros(520, np.int64)
    images = arrays.Arrays(pixels, labels, pixels, labels)
    digest = arrays.digest(images)
    arrays.save(tmp_path / places.DATA / "some", images, {"digest": digest})
    subset = tmp_path / places.SUBSETS / "all.json"
    files.write_text(subset, json.dumps({"test": list(range(520))}))
    pinned = PinnedSubset(subset.name, files.file_digest(subset))
    for run, seeds in (("one", [3, 2, 1]), ("other", [1, 2])):
        recipes.write(tmp_path / places.RECIPES / f"{run}.yaml", replace(
            tiny_recipe(), preprocessing=plain(9), dataset=PinnedDataset("some", digest, ("a",)),
            seeds=dict.fromkeys(seeds, pinned)))
    moved = [(seed, "head", 10, 0.5, 0.25) for seed in (3, 2, 1)]
    for run, rows in (("one", moved), ("other", [])):  # the other is from scratch
        files.write_csv(tmp_path / places.RUNS / run / "movement.csv", ("seed", *MOVEMENT), rows)
    monkeypatch.setattr(compare, "load", lambda run, recipe, seed, root: tiny(
        1 if seed == 1 else len(run)))
    return tmp_path


def test_two_runs_are_compared_for_the_seeds_they_share(project):
    rows = compare.compare("one", "other", CPU, project)
    table = pd.DataFrame(rows, columns=similarity.HEADER)
    assert list(dict.fromkeys(table.seed)) == [2, 1]
    alike = table[table.measure.isin(["cosine", "cka"])]
    assert (alike[alike.seed == 1].value.dropna() == 1).all()
    kernels = alike[(alike.seed == 2) & alike["shape"].str.contains("x")]
    assert (kernels[kernels.tensor != "token"].value.abs() < 0.9).all()
    assert set(alike[alike.measure == "cka"].part) == {"stem", "stage1", "head"}
    moved = table[~table.measure.isin(["cosine", "cka"])]
    assert [tuple(row) for row in moved[["seed", "measure", "part", "run", "value"]].values] == [
        (seed, *rest) for seed in (2, 1) for rest in (
            ("distance", "head", "one", 0.5), ("relative_distance", "head", "one", 0.25))]
    assert compare.compare("one", "other", CPU, project) == rows


def test_first_500_test_images_are_looked_at(project, monkeypatch):
    seen = []
    monkeypatch.setattr(compare, "activations",
                        lambda trained, images, device: seen.append(len(images)) or {})
    compare.compare("one", "other", CPU, project)
    assert seen == [500] * 4


def test_runs_without_a_common_seed_are_a_clear_error(project):
    path = project / "recipes" / "other.yaml"
    recipe = recipes.read(path)
    recipes.write(path, replace(recipe, seeds={9: recipe.seeds[1]}))
    with pytest.raises(UserError, match=r"no seed in common \(\[3, 2, 1\] and \[9\]\)"):
        compare.compare("one", "other", CPU, project)


def test_other_subset_is_a_clear_error(project):
    files.write_text(project / places.SUBSETS / "all.json", "{}")
    with pytest.raises(UserError, match=r"all\.json: missing, or not the subset"):
        compare.compare("one", "other", CPU, project)


def test_weights_count_with_what_lora_adds(tmp_path, monkeypatch):
    monkeypatch.setitem(models.by_model(), "tiny", TINY)
    file = weights.path(tmp_path / places.WEIGHTS, "tiny-v1")
    file.parent.mkdir(parents=True)
    tensors = TINY.build("tiny", "original", 1000, 8).state_dict()
    safetensors.torch.save_file({name: tensor for name, tensor in tensors.items()
                                 if not weights.is_counter(name)}, file)
    recipe = tiny_recipe(weights.tensors_digest(weights.read_arrays(file)), tune="lora",
                         lora_rank=2, lora_alpha=4)
    recipes.write(tmp_path / places.RECIPES / "run.yaml", recipe)
    model, _ = assemble(recipe, 1, file.parent)
    torch.nn.init.ones_(model.stage1[0].lora.up.weight)
    files.write_bytes(tmp_path / places.RUNS / "run/model.safetensors",
                      safetensors.torch.save({f"1/{name}": tensor for name, tensor in
                                              saved.changed(model.state_dict(), {}).items()}))
    found = compare.parameters(compare.load("run", recipe, 1, tmp_path))
    assert {part: list(tensors) for part, tensors in found.items()} == {
        "stem": ["stem.0.weight", "stem.0.bias", "stem.1.weight", "stem.1.bias"],
        "stage1": ["stage1.0.weight", "stage1.0.bias", "stage1.1.weight", "stage1.1.bias"],
        "stage2": ["stage2.0.weight", "stage2.0.bias"], "head": ["head.weight", "head.bias"]}
    layer = model.stage1[0]
    # (alpha / rank) B A with B all ones: twice the sum of A's rows, for every channel.
    added = 2 * layer.lora.down.weight.sum(0).expand(6, 6, 3, 3)
    np.testing.assert_allclose(found["stage1"]["stage1.0.weight"],
                               (layer.weight + added).detach().numpy(), rtol=1e-5, atol=1e-6)
    assert np.array_equal(found["stem"]["stem.0.weight"], model.stem[0].weight.detach().numpy())
