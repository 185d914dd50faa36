"""timm's names for what torchvision builds, so that `timm.create_model` loads a model by folder.

Where an architecture is the same in both, their tensors are too, under other names and (ConvNeXt's
scales) in another shape. tests/test_export.py compares names, shapes and logits with timm.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from unfreeze.models import OF_TIMM, facts_of
from unfreeze.models.families import timm_zoo
from unfreeze.models.with_torch.outline import outline

_RESNETS = {name: name for name in (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d",
    "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2")}
_CONVNEXTS = {f"convnext_{size}": f"convnext_{size}" for size in ("tiny", "small", "base", "large")}
_EFFICIENTNETS = {f"efficientnet_b{number}": f"efficientnet_b{number}" for number in range(5)}
_VITS = {f"vit_{letter}_{patch}": f"vit_{word}_patch{patch}_224"
         for letter, word in (("b", "base"), ("l", "large")) for patch in (16, 32)}
# Convolutions and norms of a block of MobileNetV2 or EfficientNet in their order: without and with
# an expansion before the depthwise convolution.
_PLAIN = {"0.0": "conv_dw", "0.1": "bn1", "1": "conv_pw", "2": "bn2"}
_EXPANDED = {"0.0": "conv_pw", "0.1": "bn1", "1.0": "conv_dw", "1.1": "bn2", "2": "conv_pwl",
             "3": "bn3"}
_SQUEEZED = {"0.0": "conv_dw", "0.1": "bn1", "1.fc1": "se.conv_reduce", "1.fc2": "se.conv_expand",
             "2.0": "conv_pw", "2.1": "bn2"}
_SQUEEZED_EXPANDED = {"0.0": "conv_pw", "0.1": "bn1", "1.0": "conv_dw", "1.1": "bn2",
                      "2.fc1": "se.conv_reduce", "2.fc2": "se.conv_expand", "3.0": "conv_pwl",
                      "3.1": "bn3"}
_MOBILENET_BLOCKS = (1, 2, 3, 4, 3, 3, 1)


@dataclass(frozen=True)
class Layout:
    """How timm calls a model.

    Attributes:
        architecture: timm's name. arguments: of its builder.
        first, last: its first convolution, its last layer.
        tensors: {our name of a tensor: timm's}.
    """

    architecture: str
    first: str
    last: str
    tensors: Mapping[str, str]
    arguments: Mapping[str, Any] = field(default_factory=dict)


def of(model: str, names: list[str], image_size: int) -> Layout | None:
    """timm's layout of a model of torchvision, or its own of one of timm's.

    Args:
        model: its name. names: of its tensors; those of a model with other layers than
            torchvision's have no layout.
        image_size: side of what it sees.

    Returns:
        None where timm does not know it.
    """
    if model.startswith(OF_TIMM):
        return _of_timm(model, names, image_size)
    for architectures, rename, first, last, arguments in _FAMILIES:
        if model in architectures:
            tensors = {name: rename(name) for name in names}
            if None in tensors.values() or len(set(tensors.values())) < len(names):
                return None
            return Layout(architectures[model], first, last, tensors, arguments(image_size))
    return None


def _of_timm(model: str, names: list[str], image_size: int) -> Layout | None:
    config, plain = timm_zoo.config_of(model), outline(model, "original", 1, image_size)
    # Buffers that a model makes anew are in the program, and in no file of timm's.
    known = {*plain.state_dict(), *(name for name, _ in plain.named_buffers())}
    if not set(names) <= known:
        return None
    fixed = {"img_size": image_size} if config.fixed_input_size else {}
    return Layout(model.removeprefix(OF_TIMM).partition(".")[0],
                  timm_zoo.first_convolution(config), facts_of(model).last,
                  {name: name for name in names}, fixed)


def _resnet(name: str) -> str | None:
    block = r"layer\d\.\d+\.((conv|bn)\d|downsample\.[01])"
    return name if re.fullmatch(rf"(conv1|bn1|fc|{block})\.\w+", name) else None


def _mobilenet(name: str) -> str | None:
    def place(number: int) -> tuple[int, int]:
        number -= 1
        for stage, blocks in enumerate(_MOBILENET_BLOCKS):
            if number < blocks:
                return stage, number
            number -= blocks
        raise ValueError(number)

    match = re.fullmatch(r"features\.(\d+)\.conv\.(\d\.\d|\d)\.(\w+)", name)
    if match and 1 <= int(match[1]) <= 17:
        layer = (_PLAIN if match[1] == "1" else _EXPANDED).get(match[2])
        stage, block = place(int(match[1]))
        return layer and f"blocks.{stage}.{block}.{layer}.{match[3]}"
    return _ends(name, {"features.0.0": "conv_stem", "features.0.1": "bn1",
                        "features.18.0": "conv_head", "features.18.1": "bn2",
                        "classifier.1": "classifier"})


def _efficientnet(name: str) -> str | None:
    match = re.fullmatch(r"features\.([1-7])\.(\d+)\.block\.(\d\.\w+)\.(\w+)", name)
    if match:
        layer = (_SQUEEZED if match[1] == "1" else _SQUEEZED_EXPANDED).get(match[3])
        return layer and f"blocks.{int(match[1]) - 1}.{match[2]}.{layer}.{match[4]}"
    return _ends(name, {"features.0.0": "conv_stem", "features.0.1": "bn1",
                        "features.8.0": "conv_head", "features.8.1": "bn2",
                        "classifier.1": "classifier"})


def _convnext(name: str) -> str | None:
    match = re.fullmatch(r"features\.([1357])\.(\d+)\.(?:block\.(\d)\.(\w+)|(layer_scale))", name)
    if match:
        block = f"stages.{int(match[1]) // 2}.blocks.{match[2]}"
        if match[5]:
            return f"{block}.gamma"
        layer = {"0": "conv_dw", "2": "norm", "3": "mlp.fc1", "5": "mlp.fc2"}.get(match[3])
        return layer and f"{block}.{layer}.{match[4]}"
    match = re.fullmatch(r"features\.([246])\.([01])\.(\w+)", name)
    if match:
        return f"stages.{int(match[1]) // 2}.downsample.{match[2]}.{match[3]}"
    return _ends(name, {"features.0.0": "stem.0", "features.0.1": "stem.1",
                        "classifier.0": "head.norm", "classifier.2": "head.fc"})


def _vit(name: str) -> str | None:
    match = re.fullmatch(r"encoder\.layers\.encoder_layer_(\d+)\.(.+?)[._](weight|bias)", name)
    if match:
        layer = {"ln_1": "norm1", "ln_2": "norm2", "self_attention.in_proj": "attn.qkv",
                 "self_attention.out_proj": "attn.proj", "mlp.0": "mlp.fc1",
                 "mlp.3": "mlp.fc2"}.get(match[2])
        return layer and f"blocks.{match[1]}.{layer}.{match[3]}"
    if name in ("class_token", "encoder.pos_embedding"):
        return {"class_token": "cls_token"}.get(name, "pos_embed")
    return _ends(name, {"conv_proj": "patch_embed.proj", "encoder.ln": "norm",
                        "heads.head": "head"})


def _ends(name: str, modules: Mapping[str, str]) -> str | None:
    module, _, tensor = name.rpartition(".")
    return f"{modules[module]}.{tensor}" if module in modules else None


Rename = Callable[[str], str | None]
_FAMILIES: tuple[tuple[Mapping[str, str], Rename, str, str, Callable[[int], dict]], ...] = (
    (_RESNETS, _resnet, "conv1", "fc", lambda size: {}),
    ({"mobilenet_v2": "mobilenetv2_100"}, _mobilenet, "conv_stem", "classifier", lambda size: {}),
    (_EFFICIENTNETS, _efficientnet, "conv_stem", "classifier", lambda size: {}),
    (_CONVNEXTS, _convnext, "stem.0", "head.fc", lambda size: {}),
    (_VITS, _vit, "patch_embed.proj", "head", lambda size: {"img_size": size}),
)
