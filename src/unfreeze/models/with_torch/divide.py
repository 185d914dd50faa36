"""Facts of torchvision's models, found in their structure: no model has to be described by hand.

A model is built without numbers, cut into blocks, and sent one imaginary image; the resolution at
which a block puts out decides its part.
"""

import functools
import math
from collections.abc import Iterator

import torch
from torch import nn
from torchvision import models as torchvision_models
from torchvision.models import efficientnet, mnasnet, mobilenetv2, mobilenetv3, regnet, resnet

from unfreeze.errors import UserError
from unfreeze.models.facts import Model, Parts, Weights, torchvision_weights
from unfreeze.models.families import torchvision_zoo
from unfreeze.models.with_torch.outline import on_meta

CLASSES = 1000  # of the official weights
STAGES_OF_ONE_RESOLUTION = 4
NORMS = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
RESIDUAL = (resnet.BasicBlock, resnet.Bottleneck, mobilenetv2.InvertedResidual,
            mobilenetv3.InvertedResidual, efficientnet.MBConv, efficientnet.FusedMBConv,
            mnasnet._InvertedResidual, regnet.ResBottleneckBlock)
AUXILIARY = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}


@functools.cache
def facts(name: str) -> Model:
    """Facts of a model of torchvision.

    Raises:
        UserError: its structure cannot be divided into stem, stages and head.
    """
    weights = {entry.name: _weights(name, entry)
               for entry in torchvision_models.get_model_weights(name)
               if entry.meta["categories"] is not None}  # VGG16's features without a classifier
    side = next(iter(weights.values())).crop
    model = on_meta(lambda: torchvision_zoo.build(name, "original", CLASSES, side)).eval()
    blocks = dict(_blocks(model))
    parts, last, stride = _divide(name, model, blocks, side)
    multiple = _multiple(model)
    strides = {"original": multiple if multiple > 1 else _smallest(model, stride, side)}
    fresh = {}
    if isinstance(model, torchvision_models.ResNet):
        strides["cifar"], fresh["cifar"] = stride // 4, ("conv1",)
    elif torchvision_zoo.first_convolution(model).stride == (2, 2) and multiple == 1:
        torchvision_zoo.first_convolution(model).stride = (1, 1)
        strides["cifar"] = _smallest(model, stride // 2, side)
    return Model(parts, strides, last, weights, fresh, multiple,
                 tuple(block for block, module in blocks.items() if _is_residual(module)))


def _multiple(model: nn.Module) -> int:
    if isinstance(model, torchvision_models.VisionTransformer):
        return model.patch_size
    if isinstance(model, torchvision_models.MaxVit):
        return 32 * model.partition_size  # its windows tile what is left at the total stride
    return 1


def _blocks(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module | None]]:
    """(name, block) in the order of the state dict, for all that holds tensors; None instead of a
    block for a tensor that lies bare in what was cut up."""
    for name in dict([*module.named_parameters(recurse=False),
                      *module.named_buffers(recurse=False)]):
        yield prefix + name, None
    for name, child in module.named_children():
        if child.state_dict():
            if _is_sequence(child):
                yield from _blocks(child, f"{prefix}{name}.")
            else:
                yield prefix + name, child


def _is_sequence(module: nn.Module) -> bool:
    """Whether a module is a row of blocks and not a block itself."""
    children = [child for child in module.children() if child.state_dict()]
    if type(module) in (nn.Sequential, nn.ModuleList) or isinstance(module, nn.ModuleDict):
        # All but ConvNeXt's downsamplers, whose norm belongs to the convolution after it.
        return not (isinstance(children[0], NORMS) and isinstance(children[-1], nn.Conv2d))
    if isinstance(module, nn.Sequential):  # a RegNet stage; not a convolution with its norm
        return all(map(_is_composite, children))
    # A wrapper of one row of equal blocks: a ViT's encoder.
    rows = [child for child in children if type(child) in (nn.Sequential, nn.ModuleList)]
    kinds = {type(block) for row in rows for block in row}
    return (len(rows) == 1 and len(kinds) == 1 and len(rows[0]) > 1
            and not any(map(_is_composite, set(children) - set(rows)))
            and all(_is_composite(block) and not isinstance(block, nn.Sequential)
                    for block in rows[0]))


def _is_composite(module: nn.Module) -> bool:
    return any(True for _ in module.children())


def _divide(name: str, model: nn.Module, blocks: dict[str, nn.Module | None],
            side: int) -> tuple[Parts, str, int]:
    """(parts, last module, total stride) by the resolution of what the blocks put out."""
    shapes = _shapes(model, {block: module for block, module in blocks.items() if module}, side)
    last = next(reversed(blocks))
    if shapes[last][1] != CLASSES or _is_composite(blocks[last]):
        raise UserError(f"{name}: cannot be divided into parts: {last} does not put out the "
                        "classes; choose another model")

    levels: list[int] = []  # of the blocks so far, in halvings of the image's side
    part, parts = "stem", {"stem": []}
    for block, module in blocks.items():
        # A norm, and a bare parameter, go with what comes before them.
        if block == last:
            part = "head"
        elif module is not None and not isinstance(module, NORMS):
            if len(shapes[block]) == 2:
                part = "hidden"
            else:
                level = (round(math.log2(side / shapes[block][2])) if len(shapes[block]) == 4
                         else levels[-1])
                if levels and level < levels[-1]:
                    raise UserError(f"{name}: cannot be divided into parts: its resolution rises "
                                    f"again at {block}; choose another model")
                if levels:
                    # In a VGG a block's pool comes after it and not before: all strides double.
                    halvings = level + (levels[0] == 0)
                    if level > levels[-1] or (part == "stem" and halvings > 1):
                        part = f"stage{len(parts)}"
                levels.append(level)
        parts.setdefault(part, []).append(block)
    if levels[0] == levels[-1]:
        parts = _quarter(parts, blocks)
    if "stage1" not in parts:
        raise UserError(f"{name}: cannot be divided into parts: it has no stages; choose another "
                        "model")
    return {part: tuple(names) for part, names in parts.items()}, last, 1 << levels[-1]


def _quarter(parts: dict[str, list[str]], blocks: dict[str, nn.Module | None]) -> dict:
    """Parts with their one stage split evenly, where nothing changes the resolution."""
    names = parts.pop("stage1", [])
    count = sum(not isinstance(blocks[name], NORMS) for name in names)
    split, seen = {}, 0
    for name in names:
        seen += not isinstance(blocks[name], NORMS)
        stage = 1 + (seen - 1) * min(STAGES_OF_ONE_RESOLUTION, count) // count
        split.setdefault(f"stage{stage}", []).append(name)
    return {"stem": parts.pop("stem"), **split, **parts}


def _shapes(model: nn.Module, blocks: dict[str, nn.Module], side: int) -> dict[str, torch.Size]:
    """{block: shape of what it puts out} for one image. Whether channels come first or last,
    4-dimensional outputs have the width (or the height, the same) in place 2."""
    found: dict[str, torch.Size] = {}
    hooks = [block.register_forward_hook(
                 lambda _, __, output, name=name: found.update({name: output.shape}))
             for name, block in blocks.items()]
    _forward(model, side)
    for hook in hooks:
        hook.remove()
    return found


def _forward(model: nn.Module, side: int) -> None:
    with torch.inference_mode():
        model(torch.empty(1, 3, side, side, device="meta"))


def _smallest(model: nn.Module, stride: int, fitting: int) -> int:
    """Side of the smallest image that leaves a pixel at the end, from the total stride up to a
    side that is known to fit."""
    def fits(side: int) -> bool:
        try:
            _forward(model, side)
        except RuntimeError:  # a kernel or a pool's window is larger than its input
            return False
        return True

    if fits(stride):
        return stride
    low, high = stride, fitting
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _is_residual(block: nn.Module | None) -> bool:
    convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d)] if block else []
    norms = [m for m in block.modules() if isinstance(m, NORMS)] if block else []
    return (isinstance(block, RESIDUAL) and len(convolutions) >= 2
            and isinstance(norms[-1], nn.BatchNorm2d))


def _weights(name: str, entry) -> Weights:
    images = entry.transforms()
    own = {"mean": tuple(images.mean), "std": tuple(images.std)}
    if name in AUXILIARY:
        # These files' models turn ImageNet's normalisation into this one inside
        # (transform_input); as built here they leave it to the images.
        own = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "unused": AUXILIARY[name]}
    (resize,), (crop,) = images.resize_size, images.crop_size
    return torchvision_weights(name, entry.name, entry.url, resize=resize, crop=crop,
                               interpolation=images.interpolation.value, **own)
