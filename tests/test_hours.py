"""What benchmarks/hours.py counts; not how fast anything is."""

import json

import pytest
import torch
from benchmarks import hours

from helpers import params
from unfreeze.errors import UserError
from unfreeze.params.settle import resolve
from unfreeze.training import devices

torch.set_num_threads(1)  # on tiny images more threads only wait for one another
CNN = {"model": "cnn", "init": "scratch", "image_size": 32, "batch_size": 4}


def works(**runs) -> list[hours.Work]:
    """Of runs on half of CIFAR-10's 50,000 training images, 0.1 of it held out, and 2,000 test
    images, with two seeds."""
    return list(hours.works(resolve(params(runs, fraction=0.5, validation=0.1, test_fraction=0.2,
                                           epochs=3))))


def test_images_of_all_epochs_and_seeds_are_counted():
    (work,) = works(base={})
    assert work.trained == 2 * 3 * 22_500
    assert work.tested == 2 * (3 * 2_500 + 2_500 + 2_000)  # each epoch, and of the trained model


def test_phases_are_counted_by_themselves_and_what_is_not_trained_is_tested():
    first, last = works(base={"phases": [{"freeze": "last_only", "epochs": 1}, {"epochs": 2}]})
    assert (first.trained, last.trained) == (2 * 22_500, 2 * 2 * 22_500)
    assert (first.tested, last.tested) == (2 * 2_500, 2 * (2 * 2_500 + 2_500 + 2_000))
    (work,) = works(base={"dataset": "imagenet", "epochs": 0})
    assert (work.trained, work.tested) == (0, 2 * 10_000)


def test_few_images_of_each_class():
    (work,) = works(base={"per_class": 10})
    assert work.trained == 2 * 3 * 90 and work.tested == 2 * (4 * 10 + 2_000)


def test_what_does_not_set_the_speed_is_measured_once():
    base, *same = works(base={}, lr={"lr": 0.1}, seeds={"seeds": [1]}, less={"fraction": 0.1},
                        separate={"lr_scale": {"head": 2}}, pull={"l2_sp": 0.1},
                        longer={"epochs": 9, "schedule": "constant"})
    assert {work.kind for work in same} == {base.kind}
    others = works(model={"model": "resnet18"}, size={"image_size": 32}, tune={"tune": "lora"},
                   part={"freeze": "early"}, batch={"batch_size": 32}, head={"head": "mlp"},
                   classes={"dataset": "cifar100"}, augment={"augment": "trivial"})
    assert len({work.kind for work in [base, *others]}) == 9


def test_hours_are_images_over_rates():
    some = [hours.Work("a", "quick", 3_600_000, 720_000), hours.Work("b", "slow", 36_000, 0),
            hours.Work("c", "still", 0, 36_000)]
    rates = {"quick": (1000.0, 2000.0), "slow": (10.0, 20.0), "still": (None, 10.0)}
    assert hours.hours(some, rates) == pytest.approx(1 + 0.1 + 1 + 1)


def test_images_that_are_not_here_are_left_to_the_caller(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        works(base={"dataset": "no/such/folder"})
    with pytest.raises(UserError, match="once it is fetched"):
        works(base={"dataset": "http://127.0.0.1:9/photos.zip"})


def test_the_engine_can_be_measured():
    for work in works(scratch=CNN, tuned={"tune": "lora", "image_size": 32, "batch_size": 4}):
        train, test = hours.measure(json.loads(work.kind), devices.pick(), seconds=0)
        assert train > 0 and test > 0
    still = json.loads(work.kind) | {"trains": False}
    assert hours.measure(still, devices.pick(), seconds=0)[0] is None
