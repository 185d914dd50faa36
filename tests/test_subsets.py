import itertools

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from unfreeze.data import subsets
from unfreeze.errors import UserError

QUICK = settings(max_examples=60, deadline=None)
FRACTIONS = st.floats(0.4, 1)
VALIDATION = st.floats(0, 0.5)
SEEDS = st.integers(0, 2**31 - 1)
SIZES = st.lists(st.integers(3, 60), min_size=1, max_size=6).filter(lambda s: sum(s) >= 20)


def labels_of(sizes, order=0):
    """Shuffled labels with sizes[c] images of class c."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(order).permutation(labels)


def draw(labels, fraction, validation=0.0, seed=0, test_fraction=1.0):
    return subsets.draw(labels, labels, validation, test_fraction, seed, fraction)


def draw_any(*arguments):
    """The same in a property that is not about which draws are refused."""
    try:
        return draw(*arguments)
    except UserError:
        reject()


@QUICK
@given(SIZES, FRACTIONS, VALIDATION, SEEDS)
def test_splits_are_disjoint_valid_and_of_the_right_size(sizes, fraction, validation, seed):
    labels = labels_of(sizes)
    drawn = draw_any(labels, fraction, validation, seed, fraction)
    train, held_out, test = drawn["train"], drawn["validation"], drawn["test"]
    both = train + held_out
    assert len(set(both)) == len(both) == round(fraction * len(labels))
    assert set(both) <= set(range(len(labels)))
    assert test == sorted(set(test)) and len(test) == round(fraction * len(labels))
    assert set(test) <= set(range(len(labels)))
    assert all(type(index) is int for index in both + test)  # JSON


@QUICK
@given(SIZES, FRACTIONS, SEEDS)
def test_each_class_is_near_its_share(sizes, fraction, seed):
    labels = labels_of(sizes)
    drawn = draw_any(labels, fraction, 0.0, seed, fraction)
    taken = round(fraction * len(labels)) / len(labels)
    for split in ("train", "test"):
        counts = np.bincount(labels[drawn[split]], minlength=len(sizes))
        # What follows from the order: half an image of its own, and its share of half an image of
        # each class. So hardly more than one, but for a class that dwarfs many others.
        bound = 0.5 + len(sizes) / 2 * np.array(sizes) / len(labels)
        assert np.all(np.abs(counts - taken * np.array(sizes)) <= bound + 1e-9), counts


@QUICK
@given(st.integers(1, 10), st.integers(2, 40), st.floats(0.5, 1), SEEDS)
def test_equal_classes_are_within_one_image_of_one_another(classes, each, fraction, seed):
    labels = labels_of([each] * classes)
    drawn = draw_any(labels, fraction, 0.0, seed, fraction)
    for split in ("train", "test"):
        counts = np.bincount(labels[drawn[split]], minlength=classes)
        assert counts.max() - counts.min() <= 1


@QUICK
@given(SIZES, FRACTIONS, VALIDATION, SEEDS)
def test_validation_is_within_one_image_of_its_share_of_each_class(sizes, fraction, validation,
                                                                   seed):
    labels = labels_of(sizes)
    drawn = draw_any(labels, fraction, validation, seed)
    held_out, all_ = (np.bincount(labels[np.array(part, int)], minlength=len(sizes))
                      for part in (drawn["validation"], drawn["validation"] + drawn["train"]))
    assert np.all(np.abs(held_out - validation * all_) <= 1 + 1e-9)
    # The total too: the classes round up in turn instead of all at once.
    assert abs(held_out.sum() - validation * all_.sum()) <= (len(sizes) + 1) / 2 + 1e-9


@QUICK
@given(SIZES, FRACTIONS, VALIDATION, SEEDS, SEEDS)
def test_every_seed_has_as_many_images_of_each_class(sizes, fraction, validation, one, other):
    # The predictions of all seeds for their validation images are one array.
    labels = labels_of(sizes)
    first, second = (draw_any(labels, fraction, validation, seed) for seed in (one, other))
    for split in ("train", "validation"):
        counts = [np.bincount(labels[np.array(drawn[split], int)], minlength=len(sizes)).tolist()
                  for drawn in (first, second)]
        assert counts[0] == counts[1]


def test_balanced_classes_are_split_evenly():
    labels = labels_of([100] * 10)
    drawn = draw(labels, 0.5, 0.1)
    assert np.bincount(labels[drawn["train"]]).tolist() == [45] * 10
    assert np.bincount(labels[drawn["validation"]]).tolist() == [5] * 10


@QUICK
@given(SIZES, FRACTIONS, FRACTIONS, VALIDATION, SEEDS)
def test_smaller_fraction_lies_in_the_larger(sizes, one, other, validation, seed):
    labels = labels_of(sizes)
    small, large = (draw_any(labels, fraction, validation, seed, fraction)
                    for fraction in sorted([one, other]))
    for split in ("train", "validation", "test"):
        assert set(small[split]) <= set(large[split])
    for split in ("train", "validation"):  # and they come first, in the same order
        assert large[split][:len(small[split])] == small[split]


@QUICK
@given(SIZES, FRACTIONS, VALIDATION, SEEDS)
def test_same_arguments_draw_the_same(sizes, fraction, validation, seed):
    labels = labels_of(sizes)
    first, second = (draw_any(labels, fraction, validation, seed) for _ in range(2))
    assert first == second


def test_draw_stays_as_it_was():
    # Not a judgement, a pin: another draw from the same seed would change every study's subsets.
    labels = labels_of([7, 5, 4])
    drawn = draw(labels, 0.75, 0.25, 42, 0.5)
    assert drawn == draw(labels.astype(np.uint8), 0.75, 0.25, 42, 0.5)
    assert drawn == PINNED


def test_different_seeds_differ_but_in_the_test_images():
    labels = labels_of([100] * 3)
    drawn = [draw(labels, 0.5, 0.1, seed, 0.5) for seed in range(5)]
    for one, other in itertools.combinations(drawn, 2):
        assert set(one["train"]) != set(other["train"])
        assert set(one["validation"]) != set(other["validation"])
        assert one["test"] == other["test"]


def test_test_images_depend_on_the_test_fraction_alone():
    labels = labels_of([40] * 3)
    assert len({tuple(draw(labels, fraction, validation, seed, 0.3)["test"])
                for fraction, validation, seed in [(0.5, 0, 1), (1, 0.2, 1), (0.5, 0, 2)]}) == 1


def test_whole_split_without_validation_is_every_image():
    labels = labels_of([9, 3, 1])
    drawn = draw(labels, 1.0)
    assert sorted(drawn["train"]) == drawn["test"] == list(range(13))
    assert drawn["validation"] == []


@pytest.mark.parametrize("arguments", [(0.05, 0.0, 1.0), (0.1, 0.5, 1.0), (1.0, 0.0, 0.05)])
def test_too_few_images_for_the_classes_is_an_error(arguments):
    fraction, validation, test_fraction = arguments
    with pytest.raises(UserError, match=r"of 100 images leaves 5 to use.* 10 classes"):
        draw(labels_of([10] * 10), fraction, validation, 0, test_fraction)


@QUICK
@given(st.integers(2, 10), st.integers(0, 12), st.sampled_from([0.0, 0.1, 0.25, 0.5]), SEEDS)
def test_accepted_draw_trains_on_every_class(classes, more, validation, seed):
    # What `check` promises, at the edge: hardly more images than classes.
    labels = labels_of([20] * classes)
    try:
        drawn = draw(labels, (classes + more) / len(labels), validation, seed)
    except UserError:
        return
    assert set(labels[drawn["train"]]) == set(range(classes))


@pytest.mark.parametrize(("one", "other", "same"), [
    ({"fraction": 1}, {"fraction": 1.0}, True),
    ({"fraction": 0.1}, {"fraction": 0.10000001}, False),
    ({"validation": 0}, {"validation": 0.0}, True),
    ({"validation": 0.1}, {"validation": 0.2}, False),
    ({"test_fraction": 0.2}, {"test_fraction": 0.3}, False),
    ({"seed": 1}, {"seed": 11}, False),
    ({"dataset": "a"}, {"dataset": "b"}, False),
    ({"per_class": 5}, {"per_class": 50}, False),
    ({}, {"per_class": 5}, False),
    ({}, {"per_class": 0}, True),
])
def test_file_name_is_the_identity_of_the_arguments(one, other, same):
    base = {"dataset": "x", "fraction": 0.5, "validation": 0.1, "test_fraction": 0.2, "seed": 1}
    names = {subsets.file_name(**base | own) for own in (one, other)}
    assert (len(names) == 1) == same
    assert not any("/" in name for name in names)


@QUICK
@given(SIZES, st.integers(1, 20), VALIDATION, SEEDS)
def test_per_class_takes_as_many_of_every_class(sizes, per_class, validation, seed):
    labels = labels_of(sizes)
    if per_class > min(sizes):
        with pytest.raises(UserError, match=f"{per_class} is more than the {min(sizes)} training"):
            subsets.draw(labels, labels, validation, 1.0, seed, per_class=per_class)
        return
    held_out = subsets.number_held_out(per_class, validation)
    drawn = subsets.draw(labels, labels, validation, 1.0, seed, per_class=per_class)
    counts = {split: np.bincount(labels[rows], minlength=len(sizes)).tolist()
              for split, rows in drawn.items()}
    assert counts == {"train": [per_class - held_out] * len(sizes),
                      "validation": [held_out] * len(sizes), "test": list(sizes)}
    assert held_out <= per_class * validation + 1e-6 < held_out + 1 + 1e-5
    assert not set(drawn["train"]) & set(drawn["validation"])
    if per_class < min(sizes):  # a larger number keeps all that was there
        more = subsets.draw(labels, labels, validation, 1.0, seed, per_class=per_class + 1)
        assert set(drawn["train"]) <= set(more["train"])
        assert set(drawn["validation"]) <= set(more["validation"])


def test_per_class_takes_the_first_of_the_order_that_fractions_take():
    labels = labels_of([30, 30, 30])
    few = subsets.draw(labels, labels, 0.0, 1.0, 7, per_class=3)
    half = subsets.draw(labels, labels, 0.0, 1.0, 7, fraction=0.5)
    assert set(few["train"]) <= set(half["train"])


def test_per_class_of_a_share_that_floats_miss():
    assert subsets.number_held_out(100, 0.29) == 29
    assert subsets.number_held_out(5, 0.1) == 0


PINNED = {"train": [5, 6, 12, 4, 13, 14, 8, 2, 3], "validation": [15, 7, 1],
          "test": [3, 4, 5, 7, 8, 12, 13, 14]}


# --- Folds


def folds_of(labels, folds, fraction=1.0, per_class=0, seed=0):
    return [subsets.draw(labels, labels, 0.0, 1.0, seed, fraction, per_class, fold, folds)
            for fold in range(folds)]


@QUICK
@given(SIZES, st.integers(2, 6), SEEDS)
def test_folds_part_the_images_evenly(sizes, folds, seed):
    labels = labels_of(sizes)
    drawn = folds_of(labels, folds, seed=seed)
    held_out = [each["validation"] for each in drawn]
    assert sorted(sum(held_out, [])) == list(range(len(labels)))
    for each in drawn:
        assert sorted(each["train"] + each["validation"]) == list(range(len(labels)))
        assert each["test"] == []
    counts = np.array([np.bincount(labels[each], minlength=len(sizes)) for each in held_out])
    assert np.all(np.ptp(counts, axis=0) <= 1) and np.ptp(counts.sum(1)) <= 1


def test_folds_are_of_the_images_that_a_run_has():
    labels = labels_of([50] * 4)
    for given_as in ({"fraction": 0.2}, {"per_class": 10}):
        whole = subsets.draw(labels, labels, 0.25, 1.0, 3, **given_as)
        for each in folds_of(labels, 5, seed=3, **given_as):
            assert {*each["train"], *each["validation"]} == {*whole["train"], *whole["validation"]}
            assert len(each["validation"]) == 8


def test_folds_have_names_of_their_own():
    names = {subsets.file_name("d", 0.1, 0.2, 1, 0.5, 0, fold, 3) for fold in range(3)}
    assert len(names | {subsets.file_name("d", 0.1, 0.2, 1, 0.5)}) == 4
    assert subsets.file_name("d", 0.1, 0.2, 1, 0.5, 0, 2, 3) == "d-train0.5-fold3of3-seed1.json"


def test_too_few_images_for_folds_are_told():
    with pytest.raises(UserError, match="5 folds need 8 images or more, two of each class, and 4"):
        folds_of(labels_of([10] * 4), 5, per_class=1)
    with pytest.raises(UserError, match="20 folds need 20 images"):
        folds_of(labels_of([10, 5]), 20, per_class=5)
    with pytest.raises(UserError, match="leaves 1 of the 2 classes without a training image"):
        folds_of(labels_of([10, 1]), 2)
