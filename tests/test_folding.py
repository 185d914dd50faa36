"""BatchNorm folded into convolutions: the same logits within rounding, and only where that is
certain."""

import pytest
import torch
import torchvision
from torch import nn

import tiny_models
from helpers import striped, tiny_recipe, tuned
from unfreeze import places
from unfreeze.training import evaluation, folding
from unfreeze.training.devices import Device
from unfreeze.training.setting import set_up

torch.set_num_threads(1)

CPU = Device(torch.device("cpu"), "fp32", "test")
IMAGES = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))


def varied(model):
    """A model whose BatchNorm has statistics, in evaluation mode."""
    generator = torch.Generator().manual_seed(1)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                if tensor is not None:
                    tensor.data = 0.5 + torch.rand(tensor.shape, generator=generator)
    return model.eval()


class Layers(nn.Module):
    """A convolution, BatchNorm, and what a subclass makes of them."""

    def __init__(self, convolution=None, norm=None):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = convolution or nn.Conv2d(3, 4, 3)
        self.norm = norm or nn.BatchNorm2d(4)
        varied(self)

    def forward(self, x):
        return self.norm(self.convolution(x)).relu().mean((2, 3))


@torch.inference_mode()
def logits(model, images=IMAGES):
    return model(images)


def check(model, count, images=IMAGES):
    """So many layers are folded, the logits are the same within rounding, and all is undone."""
    plain, state = logits(model, images), {k: v.clone() for k, v in model.state_dict().items()}
    folded = folding.folded(model)
    with folded.applied():
        found = logits(model, images)
    assert len(folding.pairs(model)) == count
    assert count or torch.equal(found, plain)
    exact = logits(model.double(), images.double())
    assert (found - exact).abs().max() < 1e-5 * exact.abs().max()
    model.float()
    assert model.state_dict().keys() == state.keys() and all(
        torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(logits(model, images), plain)
    assert not any("forward" in vars(layer) for layer in model.modules())


@pytest.mark.parametrize("convolution", [
    {}, {"bias": False}, {"stride": 2, "dilation": 2}, {"padding": "same"},
    {"padding": 1, "padding_mode": "reflect"}], ids=str)
@pytest.mark.parametrize("norm", [{}, {"affine": False}, {"eps": 0.5}], ids=str)
def test_one_layer(convolution, norm):
    check(Layers(nn.Conv2d(3, 4, 3, **convolution), nn.BatchNorm2d(4, **norm)), 1)


def test_a_depthwise_convolution_and_channels_last():
    model = Layers(nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6))
    check(model.to(memory_format=torch.channels_last), 1,
          IMAGES.contiguous(memory_format=torch.channels_last))


class OutputUsedTwice(Layers):
    def forward(self, x):
        x = self.convolution(x)
        return (self.norm(x) + x).mean((2, 3))


class CalledTwice(Layers):
    def forward(self, x):
        return self.norm(self.convolution(self.norm(self.convolution(x))[:, :3])).mean((2, 3))


class WeightReadElsewhere(Layers):
    def forward(self, x):
        return super().forward(x) + self.convolution.weight.sum() * self.norm.running_mean


class SomethingBetween(Layers):
    def forward(self, x):
        return self.norm(self.convolution(x).relu()).mean((2, 3))


class NotTraceable(Layers):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else -super().forward(x)


class Draws(Layers):
    def forward(self, x):
        torch.rand(1)
        return super().forward(x)


@pytest.mark.parametrize("kind", [OutputUsedTwice, CalledTwice, SomethingBetween, NotTraceable,
                                  Draws])
def test_what_is_not_certain_stays(kind):
    check(kind(), 0)


def test_a_weight_that_is_read_elsewhere_is_still_itself():
    check(WeightReadElsewhere(), 1)


def test_layers_in_two_places_stay():
    model = Layers()
    model.other = nn.Sequential(model.convolution)
    check(model, 0)


def test_layers_with_hooks_stay():
    for layer in ("convolution", "norm"):
        model = Layers()
        model.get_submodule(layer).register_forward_hook(lambda module, inputs, output: output + 1)
        check(model, 0)
        model = Layers()
        model.get_submodule(layer).register_forward_pre_hook(lambda module, inputs: None)
        check(model, 0)


def test_layers_of_another_kind_stay():
    class Other(nn.BatchNorm2d):
        def forward(self, x):
            return super().forward(x) + 1

    check(Layers(norm=Other(4)), 0)
    parametrized = Layers()
    nn.utils.parametrizations.weight_norm(parametrized.convolution)
    check(parametrized, 0)


def test_statistics_of_a_batch_are_not_folded():
    assert folding.pairs(Layers().train()) == []
    assert folding.pairs(Layers(norm=nn.BatchNorm2d(4, track_running_stats=False))) == []


@pytest.mark.parametrize("name, count", [
    ("mobilenet_v2", 52), ("resnet18", 20), ("shufflenet_v2_x0_5", 56), ("densenet121", 59),
    ("vit_b_16", 0)])
def test_families_of_torchvision(name, count):
    with torch.device("meta"):
        model = getattr(torchvision.models, name)()
    assert len(folding.pairs(model.eval())) == count


def test_a_family_computes_the_same():
    torch.manual_seed(0)
    check(varied(torchvision.models.mobilenet_v2(num_classes=3, width_mult=0.25)), 52,
          torch.randn(2, 3, 32, 32))


def test_undone_where_a_forward_pass_fails():
    model = Layers()
    with pytest.raises(RuntimeError), folding.folded(model).applied():
        model(torch.zeros(1, 5, 12, 12))
    assert not any("forward" in vars(layer) for layer in model.modules())


@pytest.mark.parametrize(("tune", "count"), [
    ("full", 2), ("norm", 2), ("lora", 1), ("dora", 1), ("ssf", 1)])
def test_predictions_are_folded(monkeypatch, tune, count):
    """But no convolution between which and its BatchNorm something stands, or whose weight is
    computed."""
    tiny_models.install(monkeypatch)
    monkeypatch.setattr("unfreeze.training.assemble._load", lambda *_: [])
    recipe = tuned(tiny_recipe(freeze=["stem"], batch_size=4), tune, lora_rank=2)
    images = striped(recipe.preprocessing.image_size, 7, CPU.torch)
    model = varied(set_up(recipe, 1, CPU, places.WEIGHTS, {"train": images}).model)
    for parameter in model.parameters():
        parameter.data += 0.1 * parameter.requires_grad
    assert len(folding.pairs(model)) == count
    classes = len(recipe.classes)
    found = evaluation.predict(model, images, recipe.knobs, classes, CPU)
    monkeypatch.setattr(folding, "pairs", lambda model: [])
    plain = evaluation.predict(model, images, recipe.knobs, classes, CPU)
    assert torch.allclose(found, plain, atol=1e-5) and not torch.equal(found, plain)
