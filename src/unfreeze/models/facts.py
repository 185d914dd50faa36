"""What a family file states about each of its models."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from unfreeze.fetching.assets import Asset, Registry

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Parts = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Weights:
    """Official weights.

    Attributes:
        name: of the file in weights/, without suffix.
        asset: where the bytes come from.
        sha256_prefix: of the official file; torchvision writes it into the file's name.
        digest: SHA-256 over the tensors (`weights.tensors_digest`), the identity of the weights;
            None: nobody has pinned it, so the SHA-256 prefix of the official file is the identity.
        mean, std: of the images that the weights were trained on, per RGB channel, in 0..1.
        resize, crop: pixels: the shorter side is resized to `resize`, then the centre of side
            `crop` is cut out, in evaluation on ImageNet; "square": straight to that side.
        interpolation: of that resizing, "bilinear" or "bicubic".
        unused: modules in the file that the model as built here lacks (auxiliary classifiers).
        classes: outputs of the classifier that they bring; 0: they bring none.
        licence: under which they may be used, as their publisher writes it; "": not stated.
        named_as: the model whose names the tensors of the registry's file get, one after
            another; "": they have them.
    """

    name: str
    asset: Asset
    sha256_prefix: str
    digest: str | None = None
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    resize: int | str = 256
    crop: int = 224
    interpolation: str = "bilinear"
    unused: tuple[str, ...] = ()
    classes: int = 1000
    licence: str = ""
    named_as: str = ""

    def __post_init__(self) -> None:
        if self.asset.registry is not None and self.digest is None:
            raise ValueError(f"{self.name}: what a registry serves is known by a digest only")


@dataclass(frozen=True)
class Model:
    """Facts of one model.

    Attributes:
        parts: ordered from stem to head. {part: the model's own modules in it}, block by block;
            every parameter and buffer lies in exactly one module (a parameter that lies bare in a
            larger module is listed by its own name). `stem`, `stage1`..., `hidden` (fully
            connected layers before the last, where there are any), `head` mean the same in every
            model: stageN is what works at 1/2^(N+1) of the input's resolution.
        strides: {stem: side of the smallest image}, in pixels: the total stride, or where there
            is too little padding for that, the least that leaves a pixel at the end.
        last: the module that puts out the classes; it alone is the head.
        weights: official pretrained weights by their key in torchvision; the first are what
            `init: pretrained` means.
        fresh: {stem: modules that a stem initialises anew}, besides the head.
        multiple: what image_size must be a multiple of.
        residual_blocks: blocks of two or more convolutions, the last one normalised by BatchNorm,
            that a TinyTL lite-residual branch can sit beside.
        uncalled: Linear and Conv2d layers that the model does not call: it reads their weight.
    """

    parts: Parts
    strides: dict[str, int]
    last: str
    weights: dict[str, Weights] = field(default_factory=dict)
    fresh: dict[str, tuple[str, ...]] = field(default_factory=dict)
    multiple: int = 1
    residual_blocks: tuple[str, ...] = ()
    uncalled: tuple[str, ...] = ()


def torchvision_weights(model: str, key: str, url: str, registry: Registry | None = None,
                        **facts) -> Weights:
    """Facts of weights that torchvision offers.

    Args:
        model, key: torchvision's names of them, such as "resnet50", "IMAGENET1K_V2".
        url: the official file; its name ends in a prefix of its SHA-256.
        registry: a package with the same tensors.
        facts: other fields of `Weights`.
    """
    return Weights(
        name=f"{model}-{key.lower()}",
        asset=Asset(title=f"{model} {key}", url=url, registry=registry),
        sha256_prefix=re.search(r"-([0-9a-f]{8,})\.pth$", url)[1],
        **facts,
    )


def is_within(name: str, modules: Iterable[str]) -> bool:
    """Whether a tensor or a module, by its name in the model, is one of some modules or lies in
    one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)
