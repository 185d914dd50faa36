"""How long a study takes: what is counted for it, and not how fast anything is."""

import json

import pytest
import torch

from helpers import params
from unfreeze.errors import UserError
from unfreeze.params.settle import resolve
from unfreeze.timing import speed, work
from unfreeze.timing.work import Speed, Work
from unfreeze.training import devices

torch.set_num_threads(1)  # on tiny images more threads only wait for one another
CNN = {"model": "cnn", "init": "scratch", "image_size": 32, "batch_size": 4}


def works(**runs) -> list[Work]:
    """Of runs on half of CIFAR-10's 50,000 training images, 0.1 of it held out, and 2,000 test
    images, with two seeds."""
    return list(work.works(resolve(params(runs, fraction=0.5, validation=0.1, test_fraction=0.2,
                                           epochs=3))))


def test_images_of_all_epochs_and_seeds_are_counted():
    (each,) = works(base={})
    assert each.trained == 2 * 3 * 22_500
    assert each.tested == 2 * (3 * 2_500 + 2_000)  # validation in each epoch


def test_phases_are_counted_by_themselves_and_what_is_not_trained_is_tested():
    first, last = works(base={"phases": [{"freeze": "last_only", "epochs": 1}, {"epochs": 2}]})
    assert (first.trained, last.trained) == (2 * 22_500, 2 * 2 * 22_500)
    assert (first.tested, last.tested) == (2 * 2_500, 2 * (2 * 2_500 + 2_000))
    (each,) = works(base={"dataset": "imagenet", "epochs": 0})
    assert (each.trained, each.tested) == (0, 2 * 10_000)


def test_few_images_of_each_class():
    (each,) = works(base={"per_class": 10})
    assert each.trained == 2 * 3 * 90 and each.tested == 2 * (3 * 10 + 2_000)


def test_what_does_not_set_the_speed_is_measured_once():
    base, *same = works(base={}, lr={"lr": 0.1}, seeds={"seeds": [1]}, less={"fraction": 0.1},
                        separate={"lr_scale": {"head": 2}}, pull={"l2_sp": 0.1},
                        longer={"epochs": 9, "schedule": "constant"})
    assert {each.kind for each in same} == {base.kind}
    others = works(model={"model": "resnet18"}, size={"image_size": 32}, tune={"tune": "lora"},
                   part={"freeze": "early"}, batch={"batch_size": 32}, head={"head": "mlp"},
                   classes={"dataset": "cifar100"}, augment={"augment": "trivial"})
    assert len({each.kind for each in [base, *others]}) == 9


def test_hours_are_images_over_rates():
    some = [Work("a", "quick", 3, 1_200_000, 1_200_000, 720_000),
            Work("b", "slow", 2, 18_000, 18_000, 0), Work("c", "still", 0, 0, 0, 36_000)]
    speeds = {"quick": Speed(1000.0, 2000.0), "slow": Speed(10.0, 20.0),
              "still": Speed(None, 10.0)}
    assert work.seconds(some, speeds) == pytest.approx(3600 * (1 + 0.1 + 1 + 1))
    both = {kind: Speed(each.train, each.test, side_by_side=2) for kind, each in speeds.items()}
    assert work.seconds(some, both) == pytest.approx(1800 * (1 + 0.1 + 1 + 1))


def test_what_is_frozen_is_computed_once_where_images_come_back():
    """Half of the forward pass lies in frozen layers, which see two variants of each image."""
    speed = Speed(train=10.0, test=20.0, kept=0.5, variants=2)
    often, seldom = (Work("a", "kind", epochs, 100, 100, 0) for epochs in (10, 2))
    assert work.seconds([often], {"kind": speed}) == pytest.approx(
        100 * (2 * 0.5 / 20 + 10 * (1 / 10 - 0.5 / 20)))
    assert work.seconds([seldom], {"kind": speed}) == pytest.approx(200 / 10)
    head = Speed(train=20.0, test=20.0, kept=1.0, variants=2)  # nothing but reading is left
    assert work.seconds([often], {"kind": head}) == pytest.approx(100 * (2 + 10 * 0.05) / 20)


def test_trials_of_a_search_count_too_each_fold_without_its_part():
    some = works(base={"search": {"lr": [0.1, 0.2, 0.3]}, "search_folds": 5, "search_seeds": [0]})
    *trials, final = some
    assert [each.images for each in trials] == [5 * 20_000] * 3
    assert [each.tested for each in trials] == [5 * 5_000] * 3
    assert [each.different for each in trials] == [5 * 20_000, 0, 0]  # the same images as the first
    assert final.images == 2 * 22_500  # PINNED: train_on: train
    *trials, final = works(base={"search": {"lr": [0.1, 0.2]}, "search_folds": 1,
                                 "train_on": "all"})
    assert [each.images for each in trials] == [22_500] * 2
    assert final.images == 2 * 25_000 and final.tested == 2 * 2_000


def test_epochs_that_go_by_work_are_left_to_the_caller():
    with pytest.raises(UserError, match="known once their work is counted"):
        works(base={}, same={"epochs": {"like": "base"}, "freeze": "early"})


def test_images_that_are_not_here_are_left_to_the_caller(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        works(base={"dataset": "no/such/folder"})
    with pytest.raises(UserError, match="once it is fetched"):
        works(base={"dataset": "http://127.0.0.1:9/photos.zip"})


def test_the_engine_can_be_measured():
    for each in works(scratch=CNN, tuned={"tune": "lora", "image_size": 32, "batch_size": 4}):
        found = speed.measure(json.loads(each.kind), devices.pick(), seconds=0)
        assert found.train > 0 and found.test > 0 and found.side_by_side >= 1
    still = json.loads(each.kind) | {"trains": False}
    assert speed.measure(still, devices.pick(), seconds=0).train is None
