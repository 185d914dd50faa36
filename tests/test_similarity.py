"""Similarity of trained models: the arithmetic, the two models side by side, what people read."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.utils import parametrize

from helpers import ROOT
from unfreeze import files, models
from unfreeze.data import arrays
from unfreeze.data.batches import Images
from unfreeze.errors import UserError
from unfreeze.models import weights
from unfreeze.reporting import figures, report, tables
from unfreeze.scoring import similarity
from unfreeze.training import compare, saved
from unfreeze.training.devices import Device
from unfreeze.tuning import rules

torch.set_num_threads(1)  # on tiny tensors more threads only wait for one another

CPU = Device(torch.device("cpu"), False, "test")
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


def test_distance_by_hand():
    assert similarity.distance([f32(3, 1), f32([5])], [f32(0, 1), f32([1])]) == pytest.approx(
        (5, 5 / 2**0.5))
    assert similarity.distance([f32(3, 4)], [f32(0, 0)]) == (5, None)


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


def test_distance_counts_what_was_pretrained():
    now = {"stem": {"a": f32(1, 1), "b": f32(0)}, "stage1": {"c": f32(2)}, "head": {"h": f32(9)}}
    assert similarity.distance_rows(7, "tuned", now, {"a": f32(1, 2), "c": f32(2)}) == [
        (7, "distance", "stem", "", "", "", "tuned", 1.0),
        (7, "relative_distance", "stem", "", "", "", "tuned", round(5**-0.5, 6)),
        (7, "distance", "stage1", "", "", "", "tuned", 0.0),
        (7, "relative_distance", "stage1", "", "", "", "tuned", 0.0)]


def test_similarity_imports_no_torch():
    check = "import sys, unfreeze.scoring.similarity; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check],
                          env={"PYTHONPATH": str(ROOT / "src")}).returncode == 0


class Tiny(nn.Module):
    """A part of two modules, one with a bare parameter and tokens, a head, and an addition."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 1, 4))
        self.conv = nn.Conv2d(3, 4, 3, 2)
        self.norm = nn.BatchNorm2d(4)
        self.mix = nn.Linear(4, 4)
        self.added = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = nn.functional.relu(self.norm(self.conv(x)), inplace=True)
        x = self.mix(x.flatten(2).mT + self.token)
        return self.head(x[:, 0] + self.added(x[:, 0]))


MODULES = {"conv": "stem", "norm": "stem", "token": "stage1", "mix": "stage1", "head": "head"}


def tiny(seed, initial=None):
    torch.manual_seed(seed)
    return compare.Trained(Tiny().eval(), MODULES, initial or {})


class Shift(nn.Module):
    def forward(self, weight):
        return weight + 1


def test_parameters_come_by_part_without_what_a_method_added():
    found = compare.parameters(tiny(0))
    assert {part: list(tensors) for part, tensors in found.items()} == {
        "stem": ["conv.weight", "conv.bias", "norm.weight", "norm.bias"],
        "stage1": ["token", "mix.weight", "mix.bias"], "head": ["head.weight", "head.bias"]}


def test_parametrised_tensor_is_what_the_forward_pass_sees():
    plain, trained = compare.parameters(tiny(0)), tiny(0)
    parametrize.register_parametrization(trained.model.mix, "weight", Shift())
    found = compare.parameters(trained)
    assert found["stage1"].keys() == plain["stage1"].keys()
    np.testing.assert_array_equal(found["stage1"]["mix.weight"], plain["stage1"]["mix.weight"] + 1)


def some_images(count=5, size=9):
    pixels = RNG.integers(0, 256, (count, size, size, 3), np.uint8)
    return Images(pixels, np.zeros(count), list(range(count)), size, [0.5] * 3, [0.25] * 3,
                  CPU.torch, 0)


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
    assert compare._pooled(torch.zeros(shape)).shape == (2, 7)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Recipes and images of two runs that share the seeds 2 and 1; their models are tiny ones, the
    same in both runs for seed 1."""
    pixels, labels = RNG.integers(0, 256, (520, 9, 9, 3), np.uint8), np.zeros(520, np.int64)
    arrays.save(tmp_path / "data" / "some", arrays.Arrays(pixels, labels, pixels, labels), {})
    subset = tmp_path / "subsets" / "all.json"
    files.write_text(subset, json.dumps({"test": list(range(520))}))
    entry = {"subset": subset.name, "digest": files.file_digest(subset)}
    for run, seeds in (("one", [3, 2, 1]), ("other", [1, 2])):
        files.write_yaml(tmp_path / "recipes" / f"{run}.yaml", {
            "knobs": {"image_size": 9}, "normalization": {"mean": [0.5] * 3, "std": [0.25] * 3},
            "transform": {"resize": None, "interpolation": "bilinear"},
            "dataset": {"name": "some"}, "seeds": dict.fromkeys(seeds, entry)})

    def load(run, recipe, seed, root):
        before = {name: tensor.detach() for name, tensor in tiny(9).model.named_parameters()}
        return tiny(1 if seed == 1 else len(run), before if run == "one" else None)

    monkeypatch.setattr(compare, "load", load)
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
    assert set(table[table.measure == "relative_distance"].run) == {"one"}
    assert (table[(table.measure == "distance") & (table.part == "head")].value > 0).all()
    assert compare.compare("one", "other", CPU, project) == rows


def test_first_500_test_images_are_looked_at(project, monkeypatch):
    seen = []
    monkeypatch.setattr(compare, "activations",
                        lambda trained, images, device: seen.append(len(images)) or {})
    compare.compare("one", "other", CPU, project)
    assert seen == [500] * 4


def test_runs_without_a_common_seed_are_a_clear_error(project):
    path = project / "recipes" / "other.yaml"
    recipe = files.read_yaml(path)
    files.write_yaml(path, recipe | {"seeds": {9: recipe["seeds"][1]}})
    with pytest.raises(UserError, match=r"no seed in common \(\[3, 2, 1\] and \[9\]\)"):
        compare.compare("one", "other", CPU, project)


def test_other_subset_is_a_clear_error(project):
    files.write_text(project / "subsets" / "all.json", "{}")
    with pytest.raises(UserError, match=r"all\.json: missing, or not the subset"):
        compare.compare("one", "other", CPU, project)


def test_load_knows_what_a_run_started_from(tmp_path):
    name = "mobilenet_v2"
    official = models.build(name, "original", 3, 32).state_dict()
    file = weights.path(tmp_path / "weights", "madeup")
    files.write_bytes(file, safetensors.torch.save(official))
    recipe = {
        "knobs": {"model": name, "stem": "original", "head": "replace", "dropout": "model",
                  "image_size": 32},
        "phases": [{"parts": rules.part_table(models.facts_of(name).parts, "none", {})}],
        "weights": {"name": "madeup", "own": False, "unused": [],
                    "digest": weights.tensors_digest(weights.read_arrays(file))},
        "classes": ["a", "b", "c"],
        "seeds": {1: {}},
    }
    files.write_yaml(tmp_path / "recipes" / "run.yaml", recipe)
    moved = {name: official[name] + 1 for name in (
        "features.1.conv.2.bias", "classifier.1.weight", "classifier.1.bias")}
    moved |= {name: tensor for name, tensor in official.items() if weights.is_counter(name)}
    files.write_bytes(tmp_path / "runs/run/model.safetensors", saved.serialise({1: moved}))
    trained = compare.load("run", recipe, 1, tmp_path)
    # The head is new in every run, so it has not moved from anywhere, though its shape fits.
    rows = similarity.distance_rows(1, "run", compare.parameters(trained), {
        name: tensor.numpy() for name, tensor in trained.initial.items()})
    assert {row[2]: row[-1] for row in rows if row[1] == "distance"} == {
        "stem": 4.0, "stage1": 0.0, "stage2": 0.0, "stage3": 0.0, "stage4": 0.0}


@pytest.fixture(scope="module")
def table():
    rows = []
    for seed in (1, 2):
        first, second = (compare.parameters(tiny(10 * seed + each)) for each in (0, 1))
        rows += similarity.cosine_rows(seed, first, second)
        rows += [(seed, "cosine", "head", "bias", "none.bias", "2", "", None),
                 (seed, "cka", "stem", "", "", "", "", 0.5 + seed / 10),
                 (seed, "relative_distance", "stem", "", "", "", "one", 0.1 * seed)]
    return pd.DataFrame([("pair", *row) for row in rows], columns=tables.SIMILARITY)


def test_report_has_a_table_of_parts(table):
    text = report.similarity(table, {"pair": ["one", "other"]})
    assert "| part | cosine, biases | cosine, weights | CKA | distance of one |" in text
    (stem,) = [line for line in text.splitlines() if line.startswith("| stem |")]
    kernel = table[table.tensor == "conv.weight"].value.mean()
    assert stem.split(" | ")[2:] == [f"{kernel:.2f}", "0.65", "0.15 |"]
    assert "nan" not in text


def test_report_without_pairs_has_no_section(table):
    assert report.similarity(table[:0], {}) == ""


def test_figure_is_the_same_file_every_time(table, tmp_path):
    for name, pairs in (("a", {"pair": ["one", "other"]}), ("none", {})):
        for each in (1, 2):
            figures.save(figures.similarity(table, pairs), tmp_path / f"{name}{each}.svg")
        content = (tmp_path / f"{name}1.svg").read_text()
        assert content == (tmp_path / f"{name}2.svg").read_text()
        assert ("one and other" in content) == (name == "a")


def test_plot_template_reads_columns_that_there_are():
    template = json.loads((ROOT / ".dvc" / "plots" / "similarity.json").read_text())
    made = [step["as"] for step in template["transform"] if "as" in step]
    used = [template["facet"][side]["field"] for side in ("row", "column")]
    used += [channel["field"] for channel in template["spec"]["encoding"].values()]
    assert set(used) <= {*tables.SIMILARITY, *made, "rev"}
