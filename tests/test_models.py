"""Facts of every model: of the families by hand beside torchvision's own, and of all of them
beside the models as they are built."""

import re

import pytest
import torch
import torchvision
from torch import nn

from helpers import ROOT
from unfreeze import models
from unfreeze.errors import UserError
from unfreeze.models.facts import is_within
from unfreeze.models.families import mobilenet_v2, resnet, vit
from unfreeze.models.with_torch import divide
from unfreeze.models.with_torch.outline import outline
from unfreeze.models.with_torch.pooling import AveragePool

torch.set_num_threads(1)  # on tiny images more threads only wait for one another

BY_HAND = sorted(models.by_model())
OFFICIAL = [name for name in BY_HAND if name != "cnn"]
BUILDS = [(name, stem) for name in BY_HAND for stem in models.facts_of(name).strides]
# The shallow ones, at least one of each architecture; the deeper ones are of the same code.
SHALLOW = {
    *BY_HAND, "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet",
    "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v3_small", "regnet_y_400mf",
    "resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11_bn",
}
ALL = [name if name in SHALLOW else pytest.param(name, marks=pytest.mark.slow)
       for name in models.names()]


def build(name, stem="original", classes=3, seed=0, image_size=64):
    torch.manual_seed(seed)
    return models.build(name, stem, classes, image_size)


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def module_order(facts):
    return [module for modules in facts.parts.values() for module in modules]


def side_of(facts):
    """A side that every stem takes."""
    return next((weights.crop for weights in facts.weights.values()), 32)


def sizes(model, modules, side):
    """{module: (height, width) of what it puts out} for images of that side."""
    seen, hooks = {}, []
    for module in modules:
        hooks.append(model.get_submodule(module).register_forward_hook(
            lambda _, __, output, module=module: seen.update({module: tuple(output.shape[2:])})))
    with torch.inference_mode():
        model.eval()(torch.zeros(1, 3, side, side, device=next(model.parameters()).device))
    for hook in hooks:
        hook.remove()
    return seen


# Every model

def test_all_of_torchvision_are_there():
    assert len(models.names()) == 81
    assert {"cnn", *torchvision.models.list_models(module=torchvision.models)} == {*models.names()}


@pytest.mark.parametrize("name", ALL)
def test_facts_fit_the_model(name):
    facts = models.facts_of(name)
    model = outline(name, "original", 1000, side_of(facts))
    state, order = model.state_dict(), module_order(facts)

    found = []
    for tensor in state:  # each in exactly one module, in order, without a gap
        owners = [module for module in order if is_within(tensor, (module,))]
        assert len(owners) == 1, tensor
        if owners != found[-1:]:
            found += owners
    assert found == order

    parts = list(facts.parts)
    stages = [part for part in parts if part.startswith("stage")]
    hidden = ["hidden"] if "hidden" in parts else []
    assert parts == ["stem", *(f"stage{i + 1}" for i in range(len(stages))), *hidden, "head"]
    assert len(stages) in (2, 3, 4) and all(facts.parts.values())

    assert facts.parts["head"] == (facts.last,)
    assert len(model.get_submodule(facts.last).weight) == 1000
    hidden = [model.get_submodule(module) for module in facts.parts.get("hidden", ())]
    assert all(isinstance(module, nn.Linear) for module in hidden)

    for block in facts.residual_blocks:
        assert block in order
        tensors = [module for module in model.get_submodule(block).modules()
                   if isinstance(module, nn.Conv2d | nn.modules.batchnorm._NormBase)]
        assert sum(isinstance(module, nn.Conv2d) for module in tensors) >= 2
        assert isinstance(tensors[-1], nn.BatchNorm2d)

    if name == "cnn":
        return
    published = torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]
    if name == "inception_v3":  # with its auxiliary classifier, unlike GoogLeNet's
        published -= count(torchvision.models.inception.InceptionAux(768, 1000))
    assert count(model) == pytest.approx(published, rel=0.01)
    assert facts.weights
    for weights in facts.weights.values():
        assert re.fullmatch(rf"{name}-[a-z0-9_]+", weights.name)
        assert weights.crop % facts.multiple == 0


@pytest.mark.parametrize("name", ALL)
def test_every_stem_takes_its_smallest_image_and_no_smaller_one_where_there_is_no_room(name):
    facts = models.facts_of(name)
    for stem, side in facts.strides.items():
        model = outline(name, stem, 7, side).eval()
        assert model(torch.empty(1, 3, side, side, device="meta")).shape == (1, 7)
        if side & (side - 1) and facts.multiple == 1:  # more than the total stride
            with pytest.raises(RuntimeError):
                model(torch.empty(1, 3, side - 1, side - 1, device="meta"))


@pytest.mark.parametrize("name", [name for name in models.names() if name not in BY_HAND])
def test_models_without_a_file_know_their_builder(name):
    assert models.family(name) == "torchvision_zoo"


# The families by hand

@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "resnet50", "vgg16", "vit_b_16"])
def test_facts_by_hand_are_those_found_in_the_structure(name):
    by_hand, found = models.facts_of(name), divide.facts(name)
    for fact in ("parts", "strides", "last", "fresh", "multiple", "residual_blocks"):
        assert getattr(by_hand, fact) == getattr(found, fact), fact
    assert list(by_hand.parts) == list(found.parts)


@pytest.mark.parametrize("name", OFFICIAL)
def test_weights_are_those_that_torchvision_states(name):
    ours = models.facts_of(name).weights
    theirs = {entry.name: entry for entry in torchvision.models.get_model_weights(name)
              if entry.meta["categories"] is not None}
    assert list(ours) == list(theirs)
    for key, weights in ours.items():
        images = theirs[key].transforms()
        assert weights.name == f"{name}-{key.lower()}"
        assert weights.asset.url == theirs[key].url
        assert f"-{weights.sha256_prefix}.pth" in theirs[key].url
        assert (weights.resize, weights.crop) == (images.resize_size[0], images.crop_size[0])
        assert weights.interpolation == images.interpolation.value
        assert (list(weights.mean), list(weights.std)) == (images.mean, images.std)


def test_alexnet_differs_from_what_is_found_only_in_its_stages_and_its_stem():
    by_hand, found = models.facts_of("alexnet"), divide.facts("alexnet")
    assert module_order(by_hand) == module_order(found)
    assert by_hand.parts["hidden"] == found.parts["hidden"]
    assert by_hand.strides == found.strides | {"cifar": 21}


@pytest.mark.parametrize(("name", "stem"), [
    ("resnet18", "original"), ("resnet18", "cifar"), ("mobilenet_v2", "cifar"),
    ("cnn", "original")])
def test_seed_decides_the_initialisation(name, stem):
    first, same, other = (build(name, stem, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize(("name", "stem"), BUILDS)
def test_only_the_head_and_fresh_modules_differ_in_shape_from_the_weights(name, stem):
    facts = models.facts_of(name)
    official = outline(name, "original", 1000, 32).state_dict()
    own = outline(name, stem, 3, 32).state_dict()
    assert official.keys() == own.keys()
    for key in own:
        if official[key].shape != own[key].shape:
            assert is_within(key, (facts.last, *facts.fresh.get(stem, ()))), key


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v2"])
def test_stages_work_at_halving_resolutions(name):
    last = {part: modules[-1] for part, modules in models.facts_of(name).parts.items()
            if part.startswith("stage")}
    seen = sizes(outline(name, "original", 3, 64), last.values(), 64)
    assert {part: seen[module] for part, module in last.items()} == {
        part: (64 >> (int(part[5:]) + 1),) * 2 for part in last}


def test_vgg_stages_pool_to_halving_resolutions():
    parts = models.facts_of("vgg16").parts
    pools = {part: f"features.{int(parts[part][-1].split('.')[1]) + 2}"
             for part in parts if part == "stem" or part.startswith("stage")}
    assert list(sizes(outline("vgg16", "original", 3, 64), pools.values(), 64).values()) == [
        (32, 32), (16, 16), (8, 8), (4, 4), (2, 2)]


def test_resnet_cifar_stem_keeps_full_resolution_through_layer1():
    seen = sizes(build("resnet18", "cifar"), ["conv1", "layer1", "layer2", "layer3", "layer4"], 32)
    assert seen == {"conv1": (32, 32), "layer1": (32, 32), "layer2": (16, 16), "layer3": (8, 8),
                    "layer4": (4, 4)}


@pytest.mark.parametrize(("name", "first", "last"), [
    ("mobilenet_v2", "features.0", "features.18"), ("alexnet", "features.0", "features.10"),
    ("densenet121", "features.conv0", "features.norm5"), ("resnext50_32x4d", "conv1", "layer4"),
])
def test_cifar_stem_keeps_the_first_resolution(name, first, last):
    original, cifar = (sizes(outline(name, stem, 3, 128), [first, last], 128)
                       for stem in ("original", "cifar"))
    assert cifar[first][0] >= 118 > 64 >= original[first][0]  # AlexNet pads less than its kernel
    assert cifar[last][0] >= 2 * original[last][0]


def test_cnn_is_the_published_one():
    model = build("cnn", image_size=32, classes=10)
    assert [tuple(p.shape) for p in model.parameters() if p.ndim > 1] == [
        (16, 3, 5, 5), (32, 16, 5, 5), (64, 32, 5, 5), (512, 1024), (256, 512), (128, 256),
        (64, 128), (32, 64), (16, 32), (10, 16)]
    assert sizes(model, ["features", "pool"], 32) == {"features": (4, 4), "pool": (4, 4)}
    kinds = [type(module).__name__ for module in model.classifier]
    assert kinds == ["Linear", "ReLU"] * 6 + ["Linear"]
    with torch.inference_mode():
        assert model(torch.zeros(2, 3, 48, 48)).shape == (2, 10)


# torchvision's others

def test_weights_of_googlenet_are_normalised_as_their_model_does_inside():
    from torchvision.models import googlenet

    facts = models.facts_of("googlenet").weights["IMAGENET1K_V1"]
    images = torch.rand(1, 3, 4, 4)
    ours = (images - torch.tensor(facts.mean).view(3, 1, 1)) / torch.tensor(facts.std).view(3, 1, 1)
    theirs = torchvision.transforms.functional.normalize(
        images, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    theirs = googlenet(transform_input=True, init_weights=False, aux_logits=False
                       )._transform_input(theirs)
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert facts.unused == ("aux1", "aux2")


@pytest.mark.parametrize(("name", "stem"), [
    ("shufflenet_v2_x0_5", "cifar"), ("mnasnet0_5", "cifar"), ("squeezenet1_1", "original"),
    ("swin_t", "original")])
def test_a_model_without_a_file_is_built_for_real(name, stem):
    first, same = (build(name, stem, seed=1) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), same.parameters(),
                                                 strict=True))
    images = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(first.eval()(images), same.eval()(images))


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "mnasnet0_5"])
def test_outline_has_the_shapes_and_types_of_the_real_model(name):
    real, outlined = build(name, classes=9).state_dict(), outline(name, "original", 9, 64)
    assert {key: (tensor.shape, tensor.dtype) for key, tensor in real.items()} == {
        key: (tensor.shape, tensor.dtype) for key, tensor in outlined.state_dict().items()}
    assert all(tensor.is_meta for tensor in outlined.state_dict().values())


def test_official_densenet_tensors_get_their_names_of_today():
    old = {"features.denseblock1.denselayer2.norm.1.weight": torch.ones(1),
           "features.denseblock1.denselayer2.conv.2.weight": torch.ones(1),
           "features.norm0.weight": torch.ones(1)}
    assert list(models.fit_weights("densenet121", old, 64)) == [
        "features.denseblock1.denselayer2.norm1.weight",
        "features.denseblock1.denselayer2.conv2.weight", "features.norm0.weight"]


class Wrapped(nn.Module):
    """A model of parts in the wrong order."""

    def __init__(self, *layers, classes=1000):
        super().__init__()
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(classes))

    def forward(self, images):
        return self.layers(images)


@pytest.mark.parametrize(("model", "words"), [
    (Wrapped(nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 3, 2), nn.Upsample(scale_factor=4),
             nn.Conv2d(4, 4, 3)), "rises again at layers.3"),
    (Wrapped(nn.Conv2d(3, 4, 3, 2), nn.AvgPool2d(8)), "no stages"),
    (Wrapped(nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 3, 2), classes=5), "put out the classes"),
])
def test_what_cannot_be_divided_says_why(model, words):
    model(torch.zeros(1, 3, 32, 32))
    model.to("meta")
    with pytest.raises(UserError, match=f"^odd: cannot be divided.*{words}"):
        divide._divide("odd", model, dict(divide._blocks(model)), 32)


# Image sizes

@pytest.fixture(scope="module")
def small_vit():
    """Official tensors of a small vision transformer of 64 pixels, with the MLPs' old names."""
    torch.manual_seed(0)
    model = torchvision.models.VisionTransformer(64, 16, 2, 2, 8, 16, num_classes=5)
    return {key.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"): tensor
            for key, tensor in model.state_dict().items()}


def test_vit_at_its_own_size_is_unchanged_but_for_old_names(small_vit):
    fitted = models.fit_weights("vit_b_16", small_vit, 64)
    model = torchvision.models.VisionTransformer(64, 16, 2, 2, 8, 16, num_classes=5)
    assert fitted.keys() == model.state_dict().keys()
    assert torch.equal(fitted["encoder.pos_embedding"], small_vit["encoder.pos_embedding"])
    assert "encoder.layers.encoder_layer_0.mlp.linear_1.weight" in small_vit  # left as it was


@pytest.mark.parametrize("side", [16, 32, 96])
def test_vit_takes_other_sizes(small_vit, side):
    before = small_vit["encoder.pos_embedding"].clone()
    fitted = models.fit_weights("vit_b_16", small_vit, side)
    model = torchvision.models.VisionTransformer(side, 16, 2, 2, 8, 16, num_classes=5)
    model.load_state_dict(fitted)
    with torch.inference_mode():
        assert model(torch.rand(2, 3, side, side)).shape == (2, 5)
    new = fitted["encoder.pos_embedding"]
    assert torch.equal(new[:, 0], before[:, 0])  # of the class token
    assert torch.equal(small_vit["encoder.pos_embedding"], before)
    if side == 96:  # the corners of the grid stay where they are
        old, new = (grid[0, 1:].view(n, n, 8)
                    for grid, n in ((before, 4), (new, 6)))
        assert torch.allclose(old[::3, ::3], new[::5, ::5], atol=1e-6)


@pytest.mark.parametrize("tensors", [
    {}, {"conv_proj.weight": torch.zeros(8, 3, 16, 16)},
    {"conv_proj.weight": torch.zeros(8, 3, 16, 16), "encoder.pos_embedding": torch.zeros(1, 4, 8)},
    {"conv_proj.weight": torch.zeros(8), "encoder.pos_embedding": torch.zeros(1, 5, 8)},
])
def test_what_is_no_vit_is_left_to_the_loader(tensors):
    assert vit.fit_weights("vit_b_16", tensors, 32).keys() == tensors.keys()


@pytest.mark.parametrize("name", ["resnet18", "cnn"])
def test_tensors_of_other_models_fit_every_size(name):
    tensors = {"a": torch.ones(1)}
    assert models.fit_weights(name, tensors, 48) is tensors


@pytest.mark.parametrize(("size", "side"), [(1, 7), (7, 7), (9, 7), (14, 7), (13, 6), (3, 4)])
def test_average_pool_is_the_usual_one(size, side):
    images = torch.rand(2, 3, size, size + 2, requires_grad=True)
    ours, theirs = AveragePool(side)(images), nn.AdaptiveAvgPool2d(side)(images)
    assert torch.allclose(ours, theirs, atol=1e-6)
    weights = torch.rand(2, 3, side, side)
    gradients = [torch.autograd.grad((out * weights).sum(), images)[0] for out in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-6)


def test_average_pool_of_its_own_size_changes_nothing():
    images = torch.rand(2, 3, 7, 7)
    assert AveragePool(7)(images) is images


# Names

@pytest.mark.parametrize("ask", [
    models.facts_of, models.family, lambda name: models.build(name, "original", 3, 32),
    lambda name: models.fit_weights(name, {}, 32)])
def test_misspelt_model_is_told_the_nearest(ask):
    with pytest.raises(UserError, match="'resnet81'.*did you mean 'resnet18'.*mobilenet_v2"):
        ask("resnet81")


def test_families_are_told_without_torch():
    import subprocess
    import sys

    code = ("import sys; from unfreeze import models; "
            "[models.facts_of(name) for name in models.by_model()]; "
            "assert 'torch' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True,
                   env={"PYTHONPATH": str(ROOT / "src")})


@pytest.mark.parametrize(("name", "module"), [("resnet50", resnet), ("mobilenet_v2", mobilenet_v2)])
def test_family_is_the_file_that_builds_the_model(name, module):
    assert module.__name__ == f"unfreeze.models.families.{models.family(name)}"
