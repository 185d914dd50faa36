"""The same picture more often than once: in both splits, under two labels, twice in one class."""

import pytest

from unfreeze.data import photos
from unfreeze.data.acquire import cards
from unfreeze.data.photos import Photo


def collection(*rows):
    return photos.Collection(("cat", "dog"), tuple(
        Photo(split, label, f"{i}.png", sha256) for i, (split, label, sha256) in enumerate(rows)),
        ())


def card_of(*rows):
    return {"name": "pets"} | cards.of_photos(collection(*rows), [])


def test_copies_are_counted_by_kind():
    card = card_of(("train", 0, "a"), ("train", 0, "a"), ("train", 1, "a"), ("train", 1, "b"),
                   ("train", 1, "c"), ("test", 1, "c"), ("test", 0, "b"), ("test", 0, "d"))
    assert card["duplicates"] == {"images": 2, "examples": [["4.png", "5.png"], ["3.png", "6.png"]]}
    assert card["repeated"] == {"images": 1, "examples": [["0.png", "1.png"]]}
    assert card["contradictory"] == {"images": 2,
                                     "examples": [["0.png", "2.png"], ["3.png", "6.png"]]}


def test_each_kind_is_warned_about_on_a_line_of_its_own(capsys):
    cards.warn(card_of(("train", 0, "a"), ("train", 0, "a"), ("train", 1, "a"), ("train", 1, "b"),
                       ("test", 1, "b")))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("pets: ")[1].split(", such as")[0] for line in lines] == [
        "1 of 1 test image is a training image too, byte for byte",
        "1 image is an image of another class too, byte for byte",
        "1 of 4 training images is a copy of another"]
    assert all(line.startswith("warning: ") and "remove" in line for line in lines)
    cards.warn(card_of(("train", 0, "a"), ("train", 1, "b"), ("test", 0, "c")))
    assert capsys.readouterr().err == ""


def test_a_copy_in_validation_is_one_in_training_once_they_are_joined():
    """val/ joins train/ where there is a test/."""
    settled, _ = photos.settle_splits(collection(
        ("train", 0, "a"), ("val", 0, "a"), ("test", 0, "b")))
    assert len(photos.repeated(settled)) == 1 and not photos.duplicates(settled)


@pytest.mark.parametrize("card", [{"duplicates": {"images": 0, "examples": []}},
                                  {"duplicates": None}])
def test_cards_of_arrays_and_of_what_nobody_has_read_say_nothing(card):
    assert not any((cards.leakage(card), cards.contradiction(card), cards.repetition(card)))
