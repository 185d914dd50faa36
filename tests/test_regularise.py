import copy

import pytest
import torch

from unfreeze.training import loop, saved
from unfreeze.training.devices import Device
from unfreeze.training.regularise import Anchor, Average

torch.set_num_threads(1)  # on tiny tensors more threads only wait for one another

CPU = Device(torch.device("cpu"), "fp32", "test")


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 5, bias=False), torch.nn.BatchNorm1d(5),
                               torch.nn.Linear(5, 3))


def batches(count=3):
    random = torch.Generator().manual_seed(1)
    return [(torch.randn(6, 4, generator=random), torch.arange(6) % 3) for _ in range(count)]


def tensors(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("decay", [0.15, 0.9])
def test_average_is_that_of_the_formula(decay):
    model = network()
    average, seen = Average(model, decay), [tensors(model)]
    loop.train_epoch(model, torch.optim.SGD(model.parameters(), lr=0.5), batches(), CPU,
                     loop.Step(after=lambda: (average.update(), seen.append(tensors(model)))),
                     lambda: None)
    found = average.tensors
    assert found.keys() == {name for name in seen[0] if "num_batches" not in name}
    for name, tensor in found.items():
        expected = seen[0][name]
        for step, state in enumerate(seen[1:], 1):
            now = min(decay, step / (step + 9))  # 0.1, 0.18, 0.25
            expected = now * expected + (1 - now) * state[name]
        torch.testing.assert_close(tensor, expected)
        assert not torch.equal(tensor, seen[-1][name]), name  # running statistics too


@pytest.mark.parametrize(("steps", "least", "most"), [(1, 0, 0.11), (40, 2, 6), (400, 30, 50)])
def test_average_of_a_short_training_forgets_what_the_model_started_as(steps, least, most):
    """And it lags behind by a tenth of the steps, whatever the decay is meant to average over."""
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0)
    average = Average(model, 0.9998)
    for step in range(1, steps + 1):
        model.weight.data.fill_(step)
        average.update()
    assert least <= steps - average.tensors["weight"].item() <= most


def test_decay_is_reached():
    model = torch.nn.Linear(1, 1, bias=False)
    average = Average(model, 0.9)
    for step in range(1, 201):
        model.weight.data.fill_(step)
        average.update()
    assert 200 - average.tensors["weight"].item() == pytest.approx(9, abs=1e-3)


def test_average_of_what_stays_is_bit_for_bit_the_same():
    # What is frozen must not be stored as if training had changed it.
    model = network()
    start = tensors(model)
    average = Average(model, 0.999)
    for _ in range(50):
        average.update()
    assert all(torch.equal(tensor, start[name]) for name, tensor in average.tensors.items())


def test_applied_average_is_taken_off_again_whatever_happens():
    model = network()
    average, start = Average(model, 0.5), tensors(model)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(1)
    average.update()
    own = tensors(model)
    with pytest.raises(KeyError), average.applied():
        torch.testing.assert_close(model[0].weight, start["0.weight"] + 0.9)
        raise KeyError
    assert all(torch.equal(own[name], tensor) for name, tensor in model.state_dict().items())


def test_average_that_is_off_is_the_model():
    model = network()
    average = Average(model, 0.0)
    average.update()
    own = tensors(model)
    with average.applied():
        assert all(torch.equal(own[name], tensor) for name, tensor in model.state_dict().items())
    assert average.tensors == {}


def test_average_comes_back():
    model, same = network(), network()
    average = Average(model, 0.5)
    model[0].weight.data += 1
    average.update()
    kept = copy.deepcopy(average.state_dict())
    other = Average(same, 0.5)
    other.load_state_dict(kept)
    saved.put(same, tensors(model))
    for each in (model, same):
        each[0].weight.data *= 2
    average.update()  # which must not reach into what was kept or loaded
    assert not torch.equal(average.tensors["0.weight"], kept["tensors"]["0.weight"])
    other.update()
    assert all(torch.equal(other.tensors[name], tensor)
               for name, tensor in average.tensors.items())


@pytest.mark.parametrize("strength", [0.01, 2.0])
def test_pull_is_the_gradient_of_the_penalty(strength):
    plain, anchored = network(), network()
    start = {name: tensor + 0.1 for name, tensor in tensors(plain).items() if "2." not in name}
    anchor = Anchor(anchored, start, strength)
    for model in (plain, anchored):
        loss = torch.nn.functional.cross_entropy(model(batches()[0][0]), batches()[0][1])
        if model is plain:
            loss = loss + strength / 2 * sum(
                ((parameter - start[name]) ** 2).sum()
                for name, parameter in model.named_parameters() if name in start)
        loss.backward()
    anchor.pull()
    for one, other in zip(anchored.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    assert anchor.names == ["0.weight", "1.weight", "1.bias"]


def test_only_what_is_pretrained_and_trains_is_pulled():
    model = network()
    model[0].requires_grad_(False)
    initial = {"0.weight": torch.zeros(5, 4), "1.weight": torch.zeros(5),
               "1.running_mean": torch.zeros(5)}
    assert Anchor(model, initial, 0.1).names == ["1.weight"]
    assert Anchor(model, initial, 0.0).names == []
