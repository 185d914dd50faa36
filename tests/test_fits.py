"""Studies that can hardly mean anything are told of; those that can are not."""

from dataclasses import replace

import pytest

from helpers import params
from unfreeze.data.facts import Facts
from unfreeze.params.facts import Datasets
from unfreeze.params.plan import ImageSource
from unfreeze.params.settle import resolve

PHOTOS = Facts("own-photos", ImageSource("photos", path="../photos"), classes=3, train=900,
               test=300, smallest=280, largest=320, commonest="dog", side=500)
FITTING = {"dataset": "../photos", "fraction": 1, "test_fraction": 1, "image_size": 160}


def warnings(runs: dict | None = None, facts: dict | None = None, **knobs) -> tuple[str, ...]:
    """Of a study of 1,200 photos; `facts` change what these are."""
    known = Datasets(known={("../photos", False): replace(PHOTOS, **facts or {})})
    return resolve(params(runs, **FITTING | knobs), datasets=known).warnings


def test_what_fits_is_not_warned_of():
    assert warnings() == ()
    assert warnings(search={"lr": [0.1, 0.2]}) == ()
    assert warnings(dataset="cifar10", image_size=32, fraction=0.02, test_fraction=0.2) == ()


def test_few_training_images_of_a_class():
    (line,) = warnings({"base": {}, "few": {"fraction": 0.03}})
    assert line == ("few trains on 7 images of the smallest class, and below 10 hardly anything "
                    "can be learnt: add images, or take a larger fraction")
    assert warnings({"few": {"per_class": 9, "validation": 0}})[0].startswith(
        "every run trains on 9 images")
    assert warnings({"few": {"per_class": 10, "validation": 0}}) == ()


def test_few_images_to_choose_by():
    (line,) = warnings(search={"lr": [0.1, 0.2]}, search_folds=1, validation=0.05)
    assert line == ("every run chooses its settings by 45 images, too few to tell candidates apart "
                    "that differ by less than 13 points: add images, or let all images take turns: "
                    "search_folds: 5")
    assert "search_folds" not in warnings(search={"lr": [0.1, 0.2]}, fraction=0.1)[0]


def test_few_test_images():
    lines = warnings({"a": {"test_fraction": 0.1}, "b": {"test_fraction": 0.1}, "c": {}})
    assert lines == ("each of a, b is tested on 30 images, which tells an accuracy to about 16 "
                     "points: add test images, or set test_fraction: 1.0",)


def test_large_photos_seen_small():
    (line,) = warnings(facts={"side": 2000}, image_size=64)
    assert line == ("every run sees photos of 2,000 pixels at 64, and the weights were made for "
                    "224: what is small in them is lost; set a larger image_size")
    assert warnings(facts={"side": 2000}, image_size=224) == ()
    assert warnings(facts={"side": 100}, image_size=64) == ()


@pytest.mark.parametrize("score", ["accuracy", "balanced_accuracy"])
def test_unequal_classes(score):
    assert warnings(facts={"smallest": 201, "largest": 600}, score=score) == ()
    lines = warnings(facts={"smallest": 200, "largest": 600}, score=score)
    assert lines == (() if score == "balanced_accuracy" else (
        "photos: the classes have 200 to 600 training images: always to answer dog is right for "
        "66.7 %, with a balanced accuracy of 33.3 %; set score: balanced_accuracy, by which each "
        "class counts the same",))
