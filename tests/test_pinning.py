"""From the plan and what is made to the recipes."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from helpers import ROOT, params
from unfreeze import files, pinning, places
from unfreeze.data.reading import decoded
from unfreeze.errors import UserError
from unfreeze.fingerprint import of_recipes
from unfreeze.models import weights
from unfreeze.params.plan import Checkpoint
from unfreeze.params.settle import resolve

RUNS = {"base": {}, "mixed": {"mixup": 0.2, "augment": "rand"},
        "scratch": {"init": "scratch", "model": "resnet18"}}
TENSORS = {"fc.weight": np.ones((2, 2), np.float32)}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """Shared, so that work is counted once."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture
def plan(tmp_path, monkeypatch, scratch):
    """A plan, and what its runs need, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(scratch))
    made = resolve(params(RUNS))
    files.write_json(places.DATA / "cifar10/card.json",
                     {"digest": "d1", "classes": ["ant", "bee"]})
    for number, name in enumerate(made.subsets):
        files.write_json(places.SUBSETS / name,
                         {"train": [*range(900)], "validation": [*range(100)], "test": [number]})
    for name in made.weights:
        weights.path(places.WEIGHTS, name).parent.mkdir(parents=True, exist_ok=True)
        save_file(TENSORS, weights.path(places.WEIGHTS, name))
    return made


def all_pinned(plan):
    return pinning.runs(plan, ROOT / "stages/train.py", ROOT / "src")


def pinned(plan):
    """{run: its recipe}, of runs that are not searched."""
    return {name: run.candidates[0].recipe for name, run in all_pinned(plan).items()
            if not run.searched}


def test_recipe_holds_what_the_run_settles_and_digests_of_what_it_reads(plan):
    run, made = plan.runs["base"], pinned(plan)["base"]
    assert (made.knobs, made.augmentations, made.phases) == (
        {**run.training_knobs, "threads": 1}, run.augmentations, run.phases)
    assert (made.dataset.name, made.dataset.digest, made.classes) == ("cifar10", "d1",
                                                                      ("ant", "bee"))
    assert (made.dataset.decoded, made.dataset.decoded_digests) == ("", {})
    assert made.preprocessing.mean == run.preprocessing.mean
    assert made.weights.digest == weights.tensors_digest(TENSORS)
    assert not made.weights.own
    assert {seed: subset.file for seed, subset in made.seeds.items()} == run.subsets
    assert {subset.digest for subset in made.seeds.values()} == {
        files.file_digest(places.SUBSETS / name) for name in run.subsets.values()}


def test_weights_are_none_from_scratch(plan):
    assert pinned(plan)["scratch"].weights is None


def test_software_is_what_decides_the_numbers(plan):
    made = pinned(plan)
    assert set(made["base"].software) == {"torch", "torchvision"}
    assert set(made["mixed"].software) == {"torch", "torchvision", "numpy", "pillow"}


def test_code_is_that_of_the_family(plan):
    made = pinned(plan)
    assert made["base"].code != made["scratch"].code
    run = plan.runs["scratch"]
    assert of_recipes.chosen_code(run.training_knobs, run.augmentations, run.phases) == {
        "unfreeze.models.families": {"resnet"}, "unfreeze.models.heads": {"replace"},
        "unfreeze.tuning.methods": {"full"}, "unfreeze.training.schedules": {"cosine"},
        "unfreeze.data.reading.augmentations": {"flip"}}


def of_photos(plan, **changes):
    """The plan with the run `base` on decoded photos."""
    run = plan.runs["base"]
    photos = replace(run, decoded="photos", preprocessing=replace(
        run.preprocessing, mean=None, std=None), **changes)
    decoded.write_card(places.DECODED / "photos", decoded.Card(
        "cifar10", "d1", 64, "square", "bilinear", {"train": "t1", "test": "t2"},
        (0.5, 0.5, 1), (1, 0.25, 0.5)))
    return replace(plan, runs={"base": photos}, decoded={"photos": None})


def test_means_of_photos_are_those_found_when_they_were_decoded(plan):
    made = pinned(of_photos(plan))["base"]
    assert made.preprocessing.mean == (0.5, 0.5, 1.0)
    assert repr(made.preprocessing.std) == "(1.0, 0.25, 0.5)"
    assert made.dataset.decoded == "photos"
    assert made.dataset.decoded_digests == {"train": "t1", "test": "t2"}


def test_what_only_tests_reads_the_test_photos_alone(plan):
    run = plan.runs["base"]
    untrained = tuple(replace(phase, knobs={**phase.knobs, "epochs": 0}) for phase in run.phases)
    made = pinned(of_photos(plan, phases=untrained))["base"]
    assert made.dataset.decoded_digests == {"test": "t2"}


def test_a_checkpoint_of_ones_own_may_hold_what_any_official_one_does(plan):
    run = plan.runs["base"]
    (name,) = {run.weights}
    own = Checkpoint("mobilenet_v2", "original", 64, "mine.pt", "x")
    made = pinned(replace(plan, weights={**plan.weights, name: own}))["base"]
    assert made.weights.own


@pytest.mark.parametrize("missing", ["data/cifar10/card.json", "weights", "subsets"])
def test_what_is_not_there_is_one_line(plan, missing):
    path = places.MADE / missing
    for file in [path] if path.is_file() else path.iterdir():
        file.unlink()
    with pytest.raises(UserError, match="dvc repro"):
        pinned(plan)
