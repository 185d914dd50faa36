"""A model in two parts: what is fixed is found, and the parts together are the model."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from unfreeze.training.prefix.cut import NoCut, cut, updating

IMAGES = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Layers(nn.Module):
    """Two layers and a head; `join` is what a subclass does between them."""

    def __init__(self, *, frozen=("one",), between=None):
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.between = between or nn.Identity()
        self.two = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 2)
        for name in frozen:
            self.get_submodule(name).requires_grad_(False).eval()

    def forward(self, x):
        return self.head(self.two(self.between(self.one(x))).mean((2, 3)))


class Residual(Layers):
    def forward(self, x):
        x = self.one(x)
        return self.head((self.two(x) + x.relu().flip(3)).mean((2, 3)))


class Sizes(Layers):
    """The rest reads the size of a batch, which is not that of two images."""

    def forward(self, x):
        batch, channels = x.shape[0], self.one(x).shape[1]
        x = self.one(x).reshape(batch, channels, 8, 8)
        return self.head(self.two(x).mean((2, 3)).reshape(batch, channels))


class Token(Layers):
    """A frozen parameter beside the images, and one that trains."""

    def __init__(self):
        super().__init__()
        self.fixed = nn.Parameter(torch.randn(1, 4, 1, 1), requires_grad=False)
        self.token = nn.Parameter(torch.randn(1, 4, 1, 1))

    def forward(self, x):
        x = self.one(x) + self.fixed.expand(x.shape[0], -1, -1, -1)
        return self.head(self.two(x * self.fixed + self.token).mean((2, 3)))


@pytest.mark.parametrize("model, shapes", [
    (Layers(), [(4, 8, 8)]),
    (Layers(frozen=("one", "two")), [(4,)]),
    (Layers(between=nn.Dropout(0.5)), [(4, 8, 8)]),
    (Layers(frozen=("one", "two"), between=nn.Dropout(0.5)), [(4, 8, 8)]),
    (Layers(frozen=("one", "two"), between=StochasticDepth(0.01, "row")), [(4, 8, 8)]),
    (Layers(frozen=("one", "two"), between=nn.Dropout(0.0)), [(4,)]),
    (Residual(), [(4, 8, 8), (4, 8, 8)]),
    (Sizes(), [(3, 8, 8), (4, 8, 8), (4, 8, 8)]),  # of which two are read for their sizes
    (Token(), [(4, 8, 8)]),
])
def test_parts_together_are_the_model(model, shapes):
    state = torch.get_rng_state()
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    parts = cut(model, IMAGES[:3])
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [tuple(output.shape[1:]) for output in parts.outputs] == shapes
    assert all(not output.requires_grad for output in parts.outputs)
    torch.manual_seed(1)
    whole = model(IMAGES)
    torch.manual_seed(1)
    both = parts.rest(parts.prefix(IMAGES))
    assert torch.equal(whole, both)
    own = [p for p in model.parameters() if p.requires_grad]
    for one, other in zip(torch.autograd.grad(whole.sum(), own),
                          torch.autograd.grad(both.sum(), own), strict=True):
        assert torch.equal(one, other)
    assert 0 < parts.flops <= parts.flops_total


def test_prefix_trains_nothing_and_rest_has_all_that_trains():
    model = Layers()
    parts = cut(model, IMAGES[:3])
    assert {id(p) for p in parts.prefix.parameters()} == {id(p) for p in model.one.parameters()}
    assert {id(p) for p in parts.rest.parameters()} == {
        id(p) for p in model.parameters() if p.requires_grad}


@pytest.mark.parametrize("frozen", [(), ("two",)])
def test_no_leading_layer_is_fixed(frozen):
    with pytest.raises(NoCut, match="no leading layer is frozen"):
        cut(Layers(frozen=frozen), IMAGES[:3])


def test_batchnorm_in_training_mode_ends_the_prefix():
    model = Layers()
    model.one.train()
    statistics = model.one[1].running_mean.clone()
    parts = cut(model, IMAGES[:3])
    assert isinstance(parts.prefix.one.get_submodule("0"), nn.Conv2d)
    assert len(list(parts.prefix.one.children())) == 1
    assert torch.equal(model.one[1].running_mean, statistics)


def test_code_that_reads_values_cannot_be_traced():
    class Asks(Layers):
        def forward(self, x):
            x = self.one(x)
            return self.head(self.two(x if x.sum() > 0 else -x).mean((2, 3)))

    with pytest.raises(NoCut, match="cannot be traced"):
        cut(Asks(), IMAGES[:3])


class Noisy(Layers):
    def forward(self, x):
        x = self.one(x)
        return self.head(self.two(x + self.noise()).mean((2, 3)))


@pytest.mark.parametrize("noise", [
    lambda: torch.randn(1, 4, 1, 1), lambda: torch.ones(1), random.random,
    lambda: np.random.default_rng(0).random() + np.random.rand()], ids=list("abcd"))
def test_code_that_makes_numbers_of_its_own_is_not_cut(noise):
    model = Noisy()
    model.noise = noise
    before, state = set(vars(model)), torch.get_rng_state()
    with pytest.raises(NoCut, match="its forward pass makes tensors or random numbers of its own"):
        cut(model, IMAGES[:3])
    assert set(vars(model)) == before and torch.equal(torch.get_rng_state(), state)


class OneNumber(Layers):
    def forward(self, x):
        return self.head(self.two(self.one(x) * self.two.bias[0] + x.mean()).mean((2, 3)))


def test_output_that_is_one_number_for_all_images_is_not_cut():
    with pytest.raises(NoCut, match="not one tensor an image"):
        cut(OneNumber(), IMAGES[:3])


def test_statistics_that_training_updates_are_not_fixed_in_evaluation_either():
    model = Layers(frozen=("one", "two"))
    model.one.train()
    changing = updating(model)
    assert changing == {model.one[1]}
    model.eval()
    assert [tuple(o.shape[1:]) for o in cut(model, IMAGES[:3]).outputs] == [(4,)]
    assert len(list(cut(model, IMAGES[:3], changing).prefix.one.children())) == 1


def test_operations_of_two_convolutions():
    parts = cut(Layers(), IMAGES[:3])
    assert parts.flops == 2 * 8 * 8 * 4 * 3 * 9
    assert parts.flops_total == parts.flops + 2 * 8 * 8 * 4 * 4 * 9 + 2 * 4 * 2
