"""Facts of timm's models, of timm's own metadata: the order of their parameters (`group_matcher`),
where a stage ends and at which resolution it works (`feature_info`), where classes are put out
(`get_classifier`).

A model is built without numbers, and sent one imaginary image to see which of its layers it calls.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from unfreeze.errors import UserError
from unfreeze.models.facts import Model, is_within
from unfreeze.models.families import timm_zoo
from unfreeze.models.with_torch.outline import on_meta

CLASSES = 1000  # outputs by which a classifier is recognised
STAGES_OF_ONE_RESOLUTION = 4
# timm's blocks that add what came in to what their last BatchNorm puts out.
RESIDUAL = {"BasicBlock", "Bottleneck", "InvertedResidual", "EdgeResidual",
            "DepthwiseSeparableConv"}


@functools.cache
def facts(name: str) -> Model:
    """Facts of a model of timm.

    Raises:
        UserError: there is no such model, or timm's metadata does not divide it into stem, stages
            and head.
    """
    config = timm_zoo.config_of(name)
    model = on_meta(lambda: timm_zoo.build(name, "original", CLASSES, config.input_size[-1])).eval()
    heads, ends = _classifiers(name, model), _ends(name, model)
    shapes, calls = _calls(model, config.input_size[-1])
    try:
        labels = _labels(name, model, _order(name, model), ends, heads, shapes)
    except UserError as reason:
        try:
            labels = _labels(name, model, _order_of_calls(model, calls), ends, heads, shapes)
        except UserError:
            raise reason from None
    blocks = dict(_blocks(model, labels, heads))
    parts: dict[str, list[str]] = {part: [] for part in _in_order(labels.values())}
    for block, (part, _) in blocks.items():
        parts[part].append(block)
    reductions = [reduction for _, reduction in ends]
    fixed, constant = config.fixed_input_size, len(set(reductions)) == 1
    strides = {"original": reductions[-1]}
    first = timm_zoo.first_convolution(config)
    if not fixed and first and getattr(model.get_submodule(first), "stride", None) == (2, 2):
        strides["cifar"] = reductions[-1] // 2
    return Model(
        parts={part: tuple(modules) for part, modules in parts.items()}, strides=strides,
        last=heads[0], fresh={"original": heads[1:]} if heads[1:] else {},
        weights=timm_zoo.weights(name), multiple=reductions[-1] if fixed and constant else 1,
        residual_blocks=tuple(block for block in blocks if _is_residual(model, block)),
        uncalled=tuple(path for path, layer in model.named_modules()
                       if isinstance(layer, nn.Linear | nn.Conv2d) and path not in shapes))


def _classifiers(name: str, model: nn.Module) -> tuple[str, ...]:
    """The layers that put out the classes: one, or two whose mean is taken (distilled models)."""
    try:
        inside = model.get_classifier()
    except (AttributeError, NotImplementedError):
        inside = None
    modules = [inside] if isinstance(inside, nn.Module) else list(inside or [])
    found = [path for path, layer in model.named_modules()
             if any(layer is each for module in modules for each in module.modules())
             and isinstance(layer, nn.Linear | nn.Conv2d) and len(layer.weight) == CLASSES]
    if len(found) not in (1, 2):
        raise _undivided(name, f"it has {len(found) or 'no'} classifiers, not one or two")
    return tuple(found)


def _order(name: str, model: nn.Module) -> dict[str, int]:
    """{parameter: its place from stem to head}, the same for those of a block."""
    from timm.models._manipulate import group_with_matcher

    if not hasattr(model, "group_matcher") or not model.group_matcher(coarse=False):
        raise _undivided(name, "timm does not say in which order its layers work")
    return group_with_matcher(((each, each) for each, _ in model.named_parameters()),
                              model.group_matcher(coarse=False), reverse=True)


def _order_of_calls(model: nn.Module, calls: Mapping[str, int]) -> dict[str, int]:
    """As `_order`, where timm does not say it: the order in which blocks are first called. A block
    is what is numbered twice in its name (stages.1.blocks.0), else once, else all that lies in a
    module of the model's."""
    calls_of: dict[str, int] = {}
    block_of, numbered = {}, set()
    for tensor, _ in model.named_parameters():
        owner = tensor.rpartition(".")[0]
        while owner and owner not in calls:
            owner = owner.rpartition(".")[0]
        found = re.match(r"(\w*\D\w*\.)*?\w*\D\w*\.\d+(\.(\w*\D\w*\.)*?\d+)?(?=\.)", tensor)
        block = block_of[tensor] = found[0] if found else tensor.partition(".")[0]
        numbered |= {block} if found else set()
        calls_of[block] = min(calls.get(owner, 0), calls_of.get(block, len(calls)))
    # What comes before the first of the numbered is where all begins, as in timm's own order.
    begins = min((calls_of[block] for block in numbered), default=0)
    places = sorted({max(call, begins - 1) for call in calls_of.values()})
    return {tensor: places.index(max(calls_of[block], begins - 1))
            for tensor, block in block_of.items()}


def _ends(name: str, model: nn.Module) -> list[tuple[str, int]]:
    """(module that ends a stage, pixels of the image to one of what it puts out), in order."""
    info = getattr(model, "feature_info", None) or []
    info = info.get_dicts() if hasattr(info, "get_dicts") else info
    ends = [(each["module"], int(each["reduction"])) for each in info if each.get("reduction")]
    known = {path for path, _ in model.named_modules()}
    if not ends or not known >= {module for module, _ in ends}:
        raise _undivided(name, "timm does not say where its stages end")
    return ends


def _labels(name: str, model: nn.Module, order: Mapping[str, int],
            ends: Sequence[tuple[str, int]], heads: tuple[str, ...],
            shapes: Mapping[str, torch.Size]) -> dict[str, tuple[str, int]]:
    """{parameter: (part, place)}."""
    places = [_place(model, module, order) for module, _ in ends]
    reductions = {reduction for _, reduction in ends}
    pools = len(places) > 1 and places[-1] == places[-2]  # at the end, without tensors (VGG)
    if places != sorted(places) or len(set(places)) < len(reductions) - pools:
        raise _undivided(name, "its stages do not end in the order of its layers")
    if len(reductions) == 1:
        stage_of = _quarters(order, ends, places, heads)
    else:
        stage_of = _by_resolution(ends, places)
    labels = {}
    for tensor, place in order.items():
        layer = tensor.rpartition(".")[0]
        if is_within(tensor, heads):
            part = "head"
        elif (place >= places[-1] and not is_within(tensor, (ends[-1][0],))
              and _is_vector(shapes.get(layer)) and _is_layer(model, layer)):
            part = "hidden"
        else:
            part = stage_of(min(place, places[-1]))
        labels[tensor] = part, place
    if not any(part == "stage1" for part, _ in labels.values()):
        raise _undivided(name, "it has no stages")
    if not any(part == "stem" for part, _ in labels.values()):
        raise _undivided(name, "it has no stem")
    return labels


def _place(model: nn.Module, module: str, order: Mapping[str, int]) -> int:
    """The place of the end of a module: of its own tensors, or without any of the layer before."""
    inside = [place for tensor, place in order.items() if is_within(tensor, (module,))]
    if inside:
        return max(inside)
    before = 0
    for path, layer in model.named_modules():
        if path == module:
            break
        for tensor, _ in layer.named_parameters(recurse=False):
            before = order[f"{path}.{tensor}" if path else tensor]
    return before


def _by_resolution(ends: Sequence[tuple[str, int]], places: Sequence[int]):
    """Place to part: a stage is what works at one resolution below half of the image's; what comes
    before is the stem."""
    parts, stage, reached = [], 0, 2
    for (_, reduction), place in zip(ends, places, strict=True):
        if reduction > reached:
            stage, reached = stage + 1, reduction
        parts.append((place, f"stage{stage}" if stage else "stem"))
    stem_ends = parts[0][1] == "stem"

    def part(place: int) -> str:
        if not stem_ends and place == 0:
            return "stem"
        return next(name for end, name in parts if place <= end)

    return part


def _quarters(order: Mapping[str, int], ends: Sequence[tuple[str, int]], places: Sequence[int],
              heads: tuple[str, ...]):
    """Place to part where nothing changes the resolution: the blocks split evenly."""
    first = min((place for tensor, place in order.items() if is_within(tensor, (ends[0][0],))),
                default=places[0])
    blocks = sorted({place for tensor, place in order.items()
                     if first <= place <= places[-1] and not is_within(tensor, heads)})
    stages = min(STAGES_OF_ONE_RESOLUTION, len(blocks))
    parts = {place: f"stage{1 + number * stages // len(blocks)}"
             for number, place in enumerate(blocks)}
    return lambda place: parts.get(place, "stem")


def _blocks(module: nn.Module, labels: Mapping[str, tuple[str, int]], heads: tuple[str, ...],
            path: str = "") -> Iterator[tuple[str, tuple[str, int]]]:
    """(name, (part, place)) of the largest modules that lie in one block, and of parameters that
    lie bare in what is cut up; a classifier is a block of its own."""
    inside = {label for tensor, label in labels.items() if not path or is_within(tensor, (path,))}
    if path and len(inside) == 1 and not any(head.startswith(f"{path}.") for head in heads):
        yield path, inside.pop()
        return
    for name, _ in module.named_parameters(recurse=False):
        yield (f"{path}.{name}" if path else name), labels[f"{path}.{name}" if path else name]
    for name, child in module.named_children():
        if any(True for _ in child.parameters()):
            yield from _blocks(child, labels, heads, f"{path}.{name}" if path else name)


def _in_order(labels) -> list[str]:
    """The parts that there are, from stem to head."""
    known = {part for part, _ in labels}
    stages = sorted(part for part in known if part.startswith("stage"))
    return [part for part in ("stem", *stages, "hidden", "head") if part in known]


def _calls(model: nn.Module, side: int) -> tuple[dict[str, torch.Size], dict[str, int]]:
    """{layer that is called: shape of what it puts out} for one image, and {layer: which call of
    all its first one is}."""
    shapes: dict[str, torch.Size] = {}
    calls: dict[str, int] = {}
    paths = {layer: path for path, layer in model.named_modules()}

    def begins(layer: nn.Module, _: tuple) -> None:
        calls.setdefault(paths[layer], len(calls))

    def ends(layer: nn.Module, _: tuple, output: object) -> None:
        shapes[paths[layer]] = (output.shape if isinstance(output, torch.Tensor) else torch.Size())

    hooks = [hook for layer in paths for hook in (
        layer.register_forward_pre_hook(begins), layer.register_forward_hook(ends))]
    with torch.inference_mode():
        model(torch.empty(1, 3, side, side, device="meta"))
    for hook in hooks:
        hook.remove()
    return shapes, calls


def _is_vector(shape: torch.Size | None) -> bool:
    """Whether one image came to one vector: after the pool."""
    return shape is not None and (len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1)))


def _is_layer(model: nn.Module, path: str) -> bool:
    return isinstance(model.get_submodule(path), nn.Linear | nn.Conv2d)


def _is_residual(model: nn.Module, path: str) -> bool:
    try:
        block = model.get_submodule(path)
    except AttributeError:  # a bare tensor
        return False
    layers = [layer for layer in block.modules()
              if isinstance(layer, nn.Conv2d | nn.modules.batchnorm._NormBase)]
    return (type(block).__name__ in RESIDUAL
            and sum(isinstance(layer, nn.Conv2d) for layer in layers) >= 2
            and isinstance(layers[-1], nn.BatchNorm2d))


def _undivided(name: str, why: str) -> UserError:
    return UserError(f"{name}: cannot be divided into parts: {why}; choose another model")
