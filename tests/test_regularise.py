import copy

import pytest
import torch

from unfreeze.training import loop
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


@pytest.mark.parametrize("decay", [0.3, 0.9])
def test_average_is_that_of_the_formula(decay):
    model = network()
    average, seen = Average(model, decay), [tensors(model)]
    loop.train_epoch(model, torch.optim.SGD(model.parameters(), lr=0.5), batches(), CPU,
                     loop.Step(after=lambda: (average.update(), seen.append(tensors(model)))),
                     lambda: None)
    found = average.state_dict()
    assert found.keys() == {name for name in seen[0] if "num_batches" not in name}
    for name, tensor in found.items():
        expected = seen[0][name]
        for state in seen[1:]:
            expected = decay * expected + (1 - decay) * state[name]
        torch.testing.assert_close(tensor, expected)
        assert not torch.equal(tensor, seen[-1][name]), name  # running statistics too


def test_average_of_what_stays_is_bit_for_bit_the_same():
    # What is frozen must not be stored as if training had changed it.
    model = network()
    start = tensors(model)
    average = Average(model, 0.999)
    for _ in range(50):
        average.update()
    assert all(torch.equal(tensor, start[name]) for name, tensor in average.state_dict().items())


def test_applied_average_is_taken_off_again_whatever_happens():
    model = network()
    average, start = Average(model, 0.5), tensors(model)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(1)
    average.update()
    own = tensors(model)
    with pytest.raises(KeyError), average.applied():
        torch.testing.assert_close(model[0].weight, start["0.weight"] + 0.5)
        raise KeyError
    assert all(torch.equal(own[name], tensor) for name, tensor in model.state_dict().items())


def test_average_that_is_off_is_the_model():
    model = network()
    average = Average(model, 0.0)
    average.update()
    own = tensors(model)
    with average.applied():
        assert all(torch.equal(own[name], tensor) for name, tensor in model.state_dict().items())
    assert average.state_dict() == {}


def test_average_comes_back():
    model = network()
    average = Average(model, 0.5)
    model[0].weight.data += 1
    average.update()
    kept = copy.deepcopy(average.state_dict())
    other = Average(network(), 0.5)
    other.load_state_dict(kept)
    assert all(torch.equal(kept[name], tensor) for name, tensor in other.state_dict().items())
    average.update()  # which must not reach into what was kept or loaded
    assert torch.equal(other.state_dict()["0.weight"], kept["0.weight"])


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
