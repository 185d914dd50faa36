"""Facts of every model, in one table: whoever adds a model adds a row to PARAMETERS."""

import pytest
import torch

from unfreeze import models
from unfreeze.errors import UserError

torch.set_num_threads(1)  # on tiny images more threads only wait for one another

FAMILIES = models.families()
NAMES = sorted(FAMILIES)
BUILDS = [(name, stem) for name in NAMES for stem in FAMILIES[name].MODELS[name].strides]

# As published, with 1000 classes and the original stem.
PARAMETERS = {"resnet18": 11_689_512, "mobilenet_v2": 3_504_872}


def build(name, stem, classes=3, seed=0):
    torch.manual_seed(seed)
    return FAMILIES[name].build(name, stem, classes)


def facts(name):
    return FAMILIES[name].MODELS[name]


def module_order(name):
    return [module for modules in facts(name).parts.values() for module in modules]


def sizes(model, modules, side):
    """{module: (height, width) of what it puts out} for images of that side."""
    seen, hooks = {}, []
    for module in modules:
        hooks.append(model.get_submodule(module).register_forward_hook(
            lambda _, __, output, module=module: seen.update({module: tuple(output.shape[2:])})))
    with torch.inference_mode():
        model.eval()(torch.zeros(1, 3, side, side))
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("name", NAMES)
def test_parameter_count_is_the_published_one(name):
    assert name in PARAMETERS, f"add a row for {name} to PARAMETERS"
    assert sum(p.numel() for p in build(name, "original", 1000).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize(("name", "stem"), BUILDS)
def test_every_parameter_and_buffer_lies_in_exactly_one_module(name, stem):
    for tensor in build(name, stem).state_dict():
        assert sum(tensor.startswith(f"{module}.") for module in module_order(name)) == 1, tensor


@pytest.mark.parametrize(("name", "stem"), BUILDS)
def test_modules_are_in_the_order_of_the_parameters(name, stem):
    found = []
    for parameter, _ in build(name, stem).named_parameters():
        owner = next(m for m in module_order(name) if parameter.startswith(f"{m}."))
        if owner not in found[-1:]:
            found.append(owner)
    assert found == module_order(name)  # each once, without a gap


@pytest.mark.parametrize("name", NAMES)
def test_parts_are_stem_stages_and_head(name):
    parts = list(facts(name).parts)
    assert parts == ["stem", *(f"stage{i}" for i in range(1, len(parts) - 1)), "head"]
    assert set(parts).isdisjoint(module_order(name))  # a name in a rule means one thing


@pytest.mark.parametrize("name", NAMES)
def test_stages_work_at_halving_resolutions(name):
    last = {part: modules[-1] for part, modules in facts(name).parts.items()
            if part.startswith("stage")}
    seen = sizes(build(name, "original"), last.values(), 64)
    assert {part: seen[module] for part, module in last.items()} == {
        part: (64 >> (int(part[5:]) + 1),) * 2 for part in last}


@pytest.mark.parametrize(("name", "stem"), BUILDS)
def test_total_stride_is_the_stated_one(name, stem):
    stride, model = facts(name).strides[stem], build(name, stem)
    *_, last, _ = facts(name).parts.values()
    for times in (1, 3):  # at its stride, the smallest image, one pixel is left
        assert sizes(model, last[-1:], times * stride) == {last[-1]: (times, times)}


def test_resnet_cifar_stem_keeps_full_resolution_through_layer1():
    seen = sizes(build("resnet18", "cifar"), ["conv1", "layer1", "layer2", "layer3", "layer4"], 32)
    assert seen == {"conv1": (32, 32), "layer1": (32, 32), "layer2": (16, 16), "layer3": (8, 8),
                    "layer4": (4, 4)}


def test_mobilenet_cifar_stem_doubles_the_resolution():
    original, cifar = (sizes(build("mobilenet_v2", stem), ["features.0", "features.18"], 32)
                       for stem in ("original", "cifar"))
    assert original == {"features.0": (16, 16), "features.18": (1, 1)}
    assert cifar == {"features.0": (32, 32), "features.18": (2, 2)}


@pytest.mark.parametrize(("name", "stem"), BUILDS)
def test_head_has_the_wanted_classes(name, stem):
    with torch.inference_mode():
        assert build(name, stem, 7).eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize(("name", "stem"), BUILDS)
def test_seed_decides_the_initialisation(name, stem):
    first, same, other = (build(name, stem, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize(("name", "stem"), BUILDS)
def test_only_the_head_and_fresh_modules_differ_in_shape_from_the_weights(name, stem):
    official, own = build(name, "original", 1000).state_dict(), build(name, stem).state_dict()
    fresh = (*facts(name).parts["head"], *facts(name).fresh.get(stem, ()))
    assert official.keys() == own.keys()
    for key in own:
        if official[key].shape != own[key].shape:
            assert key.startswith(tuple(f"{module}." for module in fresh)), key


def test_misspelt_model_is_told_the_nearest():
    with pytest.raises(UserError, match="'resnet81'.*mobilenet_v2.*did you mean 'resnet18'"):
        models.family("resnet81")
