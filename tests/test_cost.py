"""Costs against arithmetic by hand, torchvision's metadata, and the same step on real tensors."""

import copy
from functools import partial

import pytest
import torch
import torchvision
from torch import nn
from torch.nn.utils import parametrizations
from torchvision.models import VisionTransformer

from unfreeze.training import cost, loop

torch.set_num_threads(1)  # on tiny images more threads only wait for one another

NAMES = torchvision.models.list_models(module=torchvision.models)
FAST = ["alexnet", "mobilenet_v2", "resnet18", "resnet50", "vgg16", "vit_b_16"]
BATCH, SIDE, CLASSES, CHANNELS = 4, 8, 10, 3
FLOAT, INT64 = 4, 8                          # bytes
VALUES = BATCH * CHANNELS * SIDE * SIDE      # of a batch of images
# Cross-entropy keeps the log-probabilities, the labels and the sum of the labels' weights.
LOSS = BATCH * CLASSES * FLOAT + BATCH * INT64 + FLOAT
# Parameters of the auxiliary classifier, which torchvision's own count has.
AUXILIARY = {"inception_v3": 3_326_696}


class Shift(nn.Module):
    """Adds a trained parameter, so that autograd follows what comes after, and keeps nothing."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x + self.bias


class Logits(nn.Module):
    """The first values of each image as logits, as a view: autograd keeps only shapes."""

    def forward(self, x):
        return x.flatten(1)[:, :CLASSES]


def small(*layers):
    return nn.Sequential(*layers, Logits())


def kept(model, prepare=nn.Module.train):
    return cost.count(model, SIDE, BATCH, CLASSES, prepare)["activation_bytes"]


def torchvision_model(name, classes=CLASSES):
    """Without auxiliary classifiers; on the meta device but for RegNet, which computes its widths
    with tensors."""
    no_auxiliary = ({"aux_logits": False, "init_weights": False}
                    if name in ("googlenet", "inception_v3") else {})
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        return torchvision.models.get_model(name, num_classes=classes, **no_auxiliary)


def freeze_all_but(model, prefix):
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(prefix))
    return model


@pytest.mark.parametrize(("layers", "expected"), [
    ([nn.Conv2d(3, 3, 3, padding=1)], VALUES * FLOAT),  # its input; its weight is the model's own
    ([nn.Flatten(), nn.Linear(CHANNELS * SIDE**2, CLASSES)], VALUES * FLOAT),
    ([Shift(), nn.ReLU()], VALUES * FLOAT),
    ([Shift(), nn.ReLU6()], VALUES * FLOAT),
    ([Shift(), nn.MaxPool2d(2)], VALUES * FLOAT + VALUES // 4 * INT64),  # input and indices
    ([Shift(), nn.Dropout(0.5)], VALUES * FLOAT),  # its mask
    # Input, mean and deviation of the batch; the running ones are the model's own.
    ([nn.BatchNorm2d(3)], VALUES * FLOAT + 2 * CHANNELS * FLOAT),
    # ReLU keeps its output, the convolution its input: one storage. ReLU6 keeps its own input, and
    # in place a copy of it.
    ([Shift(), nn.ReLU(), nn.Conv2d(3, 3, 1)], VALUES * FLOAT),
    ([Shift(), nn.ReLU6(), nn.Conv2d(3, 3, 1)], 2 * VALUES * FLOAT),
    ([Shift(), nn.ReLU(inplace=True), nn.Conv2d(3, 3, 1)], VALUES * FLOAT),
    ([Shift(), nn.ReLU6(inplace=True), nn.Conv2d(3, 3, 1)], 2 * VALUES * FLOAT),
])
def test_activation_memory_by_hand(layers, expected):
    assert kept(small(*layers)) == expected + LOSS


def test_batchnorm_in_eval_mode_keeps_only_its_input():
    assert kept(small(nn.BatchNorm2d(3)), nn.Module.eval) == VALUES * FLOAT + LOSS


def test_frozen_layers_keep_nothing_and_have_no_backward_pass():
    layers = [nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU6(), nn.Dropout(0.5)]
    frozen = nn.Sequential(*layers).requires_grad_(False)
    step = cost.count(small(frozen, Shift()), SIDE, BATCH, CLASSES)
    assert step["activation_bytes"] == LOSS
    assert step["flops_backward"] == 0 < step["flops_forward"]
    assert kept(small(frozen)) == 0  # then not even the loss


def test_views_of_parameters_do_not_count_but_what_is_computed_from_them_does():
    class Transposed(nn.Linear):
        def forward(self, x):
            return x.flatten(1) @ self.weight.t()

    values = CHANNELS * SIDE**2
    assert kept(small(Transposed(values, CLASSES))) == VALUES * FLOAT + LOSS
    scaled = parametrizations.weight_norm(nn.Linear(values, CLASSES, bias=False))
    # weight_norm keeps a norm a row; its product, the weight, is kept for no input's gradient.
    assert kept(small(nn.Flatten(), scaled)) == VALUES * FLOAT + CLASSES * FLOAT + LOSS


def test_branch_that_does_not_lead_to_the_loss_is_not_kept():
    class Branch(nn.Conv2d):
        def forward(self, x):
            super().forward(x.square())
            return x

    assert kept(small(Shift(), Branch(3, 3, 1))) == LOSS


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_operations_of_convolutions_by_hand(groups):
    model = small(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, padding=1, groups=groups))
    pixels = SIDE * SIDE
    first, second = 2 * pixels * 3 * 6, 2 * pixels * 9 * 6 * 6 // groups
    step = cost.count(model, SIDE, BATCH, CLASSES)
    assert step["flops_forward"] == first + second
    assert step["flops_backward"] == first + 2 * second  # images need no gradient
    step = cost.count(freeze_all_but(model, "0.bias"), SIDE, BATCH, CLASSES)
    assert step["flops_backward"] == second              # on its way to the first bias


def test_operations_of_a_transposed_convolution_by_hand():
    step = cost.count(small(Shift(), nn.ConvTranspose2d(3, 2, 3, stride=2)), SIDE, BATCH, CLASSES)
    assert step["flops_forward"] == 2 * SIDE * SIDE * 3 * 2 * 9
    assert step["flops_backward"] == 2 * step["flops_forward"]


def test_the_more_is_frozen_the_less_it_costs():
    model = torchvision_model("resnet18")
    full, some, last = (
        cost.count(freeze_all_but(model, prefix), 32, 64, CLASSES,
                   partial(loop.set_training_mode, frozen_batchnorm="eval"))
        for prefix in ("", ("layer4", "fc"), "fc"))
    for key in ("parameters_trainable", "flops_backward", "activation_bytes_1", "activation_bytes"):
        assert full[key] > some[key] > last[key] > 0, key
    for key in ("flops_backward", "activation_bytes"):
        assert last[key] < full[key] / 100, key
    assert last["parameters_trainable"] == 512 * CLASSES + CLASSES
    assert last["flops_backward"] == 2 * 512 * CLASSES
    assert full["flops_forward"] == last["flops_forward"]
    assert 1.9 < full["flops_backward"] / full["flops_forward"] < 2


def tiny_vit():
    return VisionTransformer(image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16,
                             mlp_dim=32, num_classes=CLASSES)


@pytest.mark.parametrize("build", [
    partial(torchvision.models.mobilenet_v2, num_classes=CLASSES),
    partial(torchvision.models.resnet18, num_classes=CLASSES),
    tiny_vit,
], ids=["mobilenet_v2", "resnet18", "vit"])
def test_counts_are_those_of_a_real_step(build):
    model, side = build(), 32
    step = cost.count(model, side, 2, CLASSES)
    real = cost.run_step(copy.deepcopy(model).train(), torch.zeros(2, 3, side, side), CLASSES)
    assert step["activation_bytes"] == real.activation_bytes
    assert step["flops_forward"] * 2 == real.flops_forward
    assert step["flops_backward"] * 2 == real.flops_backward


def test_batch_one_is_counted_where_maps_shrink_to_one_pixel():
    model = torchvision_model("resnet18")
    one, two, three = (cost.count(model, 32, batch, CLASSES) for batch in (1, 2, 3))
    assert one["activation_bytes"] == one["activation_bytes_1"] == two["activation_bytes_1"]
    # A ResNet has no tensor that is a view at batch 1 and a copy above, so it is a straight line.
    assert (two["activation_bytes"] - one["activation_bytes"]
            == three["activation_bytes"] - two["activation_bytes"] > 0)


def test_counting_leaves_model_and_random_state_as_they_were():
    model = small(nn.BatchNorm2d(3), nn.Dropout(0.5)).eval()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    first, second = (cost.count(model, SIDE, BATCH, CLASSES) for _ in range(2))
    assert first == second
    assert all(type(value) is int for value in first.values())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not model.training and all(p.grad is None for p in model.parameters())


def test_precision_and_layout_of_the_model_do_not_matter():
    model = small(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU6(), nn.Flatten(),
                  nn.Linear(CHANNELS * SIDE**2, CLASSES))
    other = copy.deepcopy(model).to(dtype=torch.bfloat16, memory_format=torch.channels_last)
    assert cost.count(model, SIDE, 2, CLASSES) == cost.count(other, SIDE, 2, CLASSES)


def test_wrong_number_of_classes_is_an_error():
    with pytest.raises(ValueError, match=r"gives \(1, 10\), not \(1, 7\)"):
        cost.count(small(Shift()), SIDE, 1, 7)


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in NAMES])
def test_parameters_and_operations_are_those_of_torchvisions_metadata(name):
    versions = torchvision.models.get_model_weights(name)
    weights = getattr(versions, "IMAGENET1K_V1", None) or versions.IMAGENET1K_SWAG_LINEAR_V1
    (side,) = weights.transforms().crop_size
    step = cost.count(torchvision_model(name, 1000), side, 1, 1000)
    half_a_digit = 2e9 * 0.0005  # _ops has three decimals
    assert step["flops_forward"] == pytest.approx(2e9 * weights.meta["_ops"], rel=0.01,
                                                  abs=half_a_digit)
    parameters = weights.meta["num_params"] - AUXILIARY.get(name, 0)
    assert step["parameters_total"] == pytest.approx(parameters, rel=0.01)
