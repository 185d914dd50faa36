"""What a family file states about each of its models."""

from dataclasses import dataclass, field

from unfreeze.data.assets import Asset

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Parts = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Weights:
    """Official weights.

    Attributes:
        name: of the file in weights/, without suffix.
        asset: where the bytes come from.
        digest: SHA-256 over the tensors (`weights.tensors_digest`), the identity of the weights.
        sha256_prefix: of the official file; torchvision writes it into the file's name.
        mean, std: of the images that the weights were trained on, per RGB channel, in 0..1.
    """

    name: str
    asset: Asset
    digest: str
    sha256_prefix: str
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


@dataclass(frozen=True)
class Model:
    """Facts of one model.

    Attributes:
        parts: ordered from stem to head. {part: the model's own modules in it}; every parameter
            lies in exactly one module. `stem`, `stage1`..., `head` mean the same in every model:
            stageN is what works at 1/2^(N+1) of the input's resolution.
        strides: {stem: total stride}; an image smaller than that has no pixel left at the end.
        weights: official pretrained weights, or None.
        fresh: {stem: modules that a stem initialises anew}, besides the head.
    """

    parts: Parts
    strides: dict[str, int]
    weights: Weights | None = None
    fresh: dict[str, tuple[str, ...]] = field(default_factory=dict)
