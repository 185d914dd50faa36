"""Which images a run reads: of the catalogue, of one's own, how many, and none to train on."""

import re

import pytest
from PIL import Image

from helpers import message, params
from unfreeze.data import photos
from unfreeze.errors import UserError
from unfreeze.models.facts import IMAGENET_MEAN
from unfreeze.params.plan import (
    Decoded,
    ImageSource,
    Subset,
)
from unfreeze.params.settle import resolve


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """A working folder with `pets`, 10 images of each of two classes, and a scratch folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (8 + number, 9), (number, 100 * label, 0)).save(
                tmp_path / "pets" / name / f"{number}.png")
    return tmp_path / "pets"


def own(**knobs):
    return params(**{"fraction": 1, "test_fraction": 1} | knobs)


def test_arrays_are_as_ever():
    plan = resolve(params())
    assert plan.decoded == {} and plan.runs["base"].decoded == ""
    assert list(plan.subsets) == ["cifar10-train0.05-val0.1-test0.2-seed42.json",
                                  "cifar10-train0.05-val0.1-test0.2-seed43.json"]


def test_images_of_ones_own_are_known_by_their_content(pets):
    plan = resolve(own(dataset="pets"))
    (name, source), = plan.datasets.items()
    run = plan.runs["base"]
    assert name == f"own-pets-{source.digest[:12]}" == run.knobs["dataset"]
    assert source == ImageSource("photos", path="pets", digest=source.digest)
    assert run.classes == 2 and run.preprocessing.mean is None
    assert run.decoded == f"{name}-square-bilinear-64"
    assert plan.decoded == {
        run.decoded: Decoded(name, 64, "square", "bilinear", ("train", "test"))}
    pets.rename(pets.with_name("other"))
    moved = resolve(own(dataset="./other/"))
    assert list(moved.datasets) == [name.replace("pets", "other")]
    (pets.with_name("other") / "cat" / "0.png").unlink()
    assert list(resolve(own(dataset="other")).datasets) != list(moved.datasets)


@pytest.mark.parametrize("other", [
    {"skip_broken": True}, {"dataset": "./pets/"}, {"dataset": "pets/../pets"}])
def test_images_that_two_runs_name_in_two_ways_are_one_dataset(pets, other):
    plan = resolve(params({"base": {}, "other": other}, dataset="pets", fraction=1,
                          test_fraction=1))
    assert {run.knobs["dataset"] for run in plan.runs.values()} == set(plan.datasets)
    assert len(plan.datasets) == 1


def test_a_link_to_a_folder_is_not_followed_to_see_whether_images_changed(pets):
    (pets / "cat" / "all").symlink_to("/")
    with pytest.raises(UserError, match="cat/all"):
        resolve(own(dataset="pets"))


@pytest.mark.parametrize("knobs, words", [
    ({"dataset": "https://[x/y.zip"}, "'https://[x/y.zip' is no address"),
    ({"dataset": "a\0/b"}, r"dataset: 'a\x00/b' is not allowed"),
    ({"init": "a\0/b.pt"}, r"init: 'a\x00/b.pt' is not allowed")])
def test_what_is_no_path_and_no_address_is_said_so(pets, knobs, words):
    with pytest.raises(UserError) as caught:
        resolve(own(**{"dataset": "pets"} | knobs))
    assert words in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_images_are_read_once_as_long_as_they_do_not_change(pets, monkeypatch):
    before = resolve(own(dataset="pets"))
    monkeypatch.setattr(photos, "scan", None)
    assert resolve(own(dataset="pets", lr=0.5)).datasets == before.datasets


def test_photos_are_decoded_for_each_size_and_way_of_resizing(pets):
    plan = resolve(params({
        "a": {}, "b": {"lr": 0.1}, "c": {"image_size": 32},
        "d": {"resize": "weights", "image_size": "weights", "normalize": "weights"}},
        dataset="pets", fraction=1, test_fraction=1))
    (name,) = plan.datasets
    assert sorted(plan.decoded) == [f"{name}-256-bilinear-224", f"{name}-square-bilinear-32",
                                    f"{name}-square-bilinear-64"]
    assert plan.runs["d"].preprocessing.mean == IMAGENET_MEAN


def test_an_address_is_known_by_itself_until_it_is_fetched():
    address = "https://example.org/a%20b/My pets.tar.gz?download=1"
    plan = resolve(params(dataset=address))
    (name, source), = plan.datasets.items()
    assert re.fullmatch(r"own-My-pets-[0-9a-f]{12}", name)
    assert source == ImageSource("photos", url=address)
    assert plan.runs["base"].classes is None
    assert name not in resolve(params(dataset=address, skip_broken=True)).datasets


@pytest.mark.parametrize(("knobs", "words"), [
    ({"dataset": "no/such"}, ["dataset (of runs.base): 'no/such' is no folder or archive"]),
    ({"dataset": "pets.zip"}, ["'pets.zip' is no folder or archive", ".tar.xz"]),
    ({"dataset": "https://example.org/pets"}, ["is no address of an archive", ".zip"]),
    ({"dataset": "pets", "per_class": 9}, ["per_class", "9 is more than the 8 training images"]),
    ({"dataset": "pets", "fraction": 0.05}, ["fraction (of runs.base)", "of 16 images leaves 1"]),
    ({"dataset": "pets", "test_fraction": 0.2}, ["test_fraction", "of 4 images leaves 1"]),
    ({"dataset": "pets", "claims": ["base.top5 > 1"]}, ["has 2 classes"]),
    ({"dataset": "empty"}, ["empty: holds no images"]),
    ({"dataset": "pets/cat"}, ["pets/cat"]),
])
def test_bad_images_of_ones_own_are_named(pets, knobs, words):
    (pets.parent / "empty").mkdir()
    message(own(**knobs), *words)


@pytest.mark.parametrize(("change", "words"), [
    ({"per_class": 5001}, ["per_class: 5001 is more than the 5000"]),
    ({"per_class": -1}, ["per_class: -1 is not allowed"]),
    ({"per_class": 5, "fraction": 0.1}, ["runs.mine.fraction: has no effect with per_class: 5"]),
    ({"per_class": 5, "select": "best"}, ["runs.mine.select", "leaves none of per_class: 5"]),
    ({"per_class": 2, "validation": 0.9999999}, ["leaves none of per_class: 2 to train on"]),
    ({"skip_broken": True}, ["runs.mine.skip_broken: has no effect with dataset: cifar10"]),
])
def test_bad_few_shots_are_named(change, words):
    message(params({"mine": change}), *words)


def test_per_class_takes_the_place_of_the_fraction():
    plan = resolve(params({"a": {"per_class": 5}, "b": {}}, seeds=[1]))
    assert plan.subsets == {
        "cifar10-each5-val0.1-test0.2-seed1.json": Subset("cifar10", 1, 1.0, 5, 0.1, 0.2),
        "cifar10-train0.05-val0.1-test0.2-seed1.json": Subset("cifar10", 1, 0.05, 0, 0.1, 0.2)}


def test_a_model_as_it_is_trains_nothing_and_needs_no_training_images():
    plan = resolve(params(dataset="imagenet", epochs=0, normalize="weights"))
    run = plan.runs["base"]
    assert not run.trains and run.augmentations == {}
    (made,) = plan.decoded.values()
    assert made.splits == ("test",)
    for order in (("a", "b"), ("b", "a")):
        runs = {name: {"a": {"epochs": 0}, "b": {}}[name] for name in order}
        both = resolve(params(runs, dataset="imagenet", normalize="weights"))
        (made,) = both.decoded.values()
        assert made.splits == ("train", "test")


def test_a_model_as_it_is_does_not_depend_on_how_others_are_trained():
    runs = [resolve(params({"base": {"epochs": 0}}, dataset="imagenet", normalize="weights",
                           **knobs)).runs["base"]
            for knobs in ({}, {"freeze": "early", "lr": 0.1, "schedule": "exponential",
                               "weight_decay": 0.1, "flip": False, "tune": "bias", "ema": 0.9,
                               "optimizer": "sgd", "frozen_batchnorm": "train"})]
    assert runs[0].phases == runs[1].phases
    assert runs[0].training_knobs == runs[1].training_knobs
    assert runs[0].augmentations == runs[1].augmentations


@pytest.mark.parametrize(("change", "words"), [
    ({"init": "scratch"}, ["runs.mine.epochs: 0 tests a model as it is", "init: scratch"]),
    ({"phases": [{"epochs": 1}]}, ["without phases"]),
    ({"head": "append"}, ["head: append starts anew"]),
    ({"model": "resnet18", "stem": "cifar"}, ["stem: cifar starts anew"]),
    ({"dataset": "cifar10"}, ["for the 1000 classes of ImageNet, not for the 10 of cifar10"]),
])
def test_a_model_that_is_not_whole_is_not_tested_as_it_is(change, words):
    message(params({"mine": {"epochs": 0} | change}, dataset="imagenet", normalize="weights"),
            *words)


def test_no_phase_has_0_epochs():
    message(params({"mine": {"phases": [{"epochs": 0}, {}]}}), "phases 1: epochs: 0")
