"""A model cut in two where training begins: the leading layers, whose outputs training does not
change, and the rest.

The model's forward pass is traced into a graph (torch.fx). A step of the graph is fixed when all
that it reads is fixed, it is the same in every epoch (nothing in it trains, it draws no random
number, it normalises by no statistics of the batch), so whatever is fixed can be computed once for
each image. Nothing here knows of layers or models: what is frozen is found from where gradients
go, by running the graph on a few images.
"""

import operator
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from unfreeze.training.tracing import NotTraced, random_state, trace


class NoCut(Exception):
    """The model cannot be cut; the text says why."""


@dataclass(frozen=True)
class Cut:
    """A model in two.

    Attributes:
        prefix: (B, 3, S, S) images to a tuple of tensors, the batch first in each.
        rest: that tuple to (B, classes) logits. Both share their layers with the model, so what
            trains in one trains in the other.
        outputs: what `prefix` gives for the images that it was found by.
        flops: of the prefix for an image, as cost.py counts them. flops_total: of the model.
    """

    prefix: fx.GraphModule
    rest: fx.GraphModule
    outputs: tuple[torch.Tensor, ...]
    flops: int
    flops_total: int


def updating(model: nn.Module) -> set[nn.Module]:
    """The layers of a model in training mode whose statistics training goes on updating."""
    return {module for module in model.modules() if module.training
            and isinstance(module, nn.modules.batchnorm._NormBase)
            and module.running_mean is not None}


def cut(model: nn.Module, images: torch.Tensor, changing: Collection[nn.Module] = ()) -> Cut:
    """Cut a model, as it is now: its mode (training or not) and what requires a gradient decide.

    Args:
        model: left as it is, and so is torch's random state.
        images: (3, 3, S, S) float, on the model's device. Any few: no decision depends on their
            values, so that both may be fake.
        changing: layers that count as trained, whatever their mode is now: those of `updating`, in
            a model that is in evaluation mode between epochs of training.

    Raises:
        NoCut: no leading layer is fixed, or the model's Python code cannot be traced.
    """
    try:
        graph = trace(model, images.device)
    except NotTraced as reason:
        raise NoCut(str(reason)) from None
    source = next(node for node in graph.nodes if node.op == "placeholder")
    with _countable(), FlopCounterMode(display=False) as flops:
        fixed = _fixed(fx.GraphModule(model, graph), graph, images, changing)
    of_image = _dependent(graph, source)
    frontier = _frontier(graph, fixed, of_image)
    if frontier in ([], [source]):
        raise NoCut("no leading layer is frozen")
    outputs = tuple(fixed[node] for node in frontier)
    if any(output.dim() == 0 or len(output) != len(images) for output in outputs):
        raise NoCut("what its frozen layers put out is not one tensor an image")
    rest, of_prefix = _rest(model, graph, fixed, frontier), flops.get_total_flops() // len(images)
    return Cut(_prefix(model, graph, frontier), rest, outputs, of_prefix,
               of_prefix + _flops(rest, outputs))


def _fixed(module: fx.GraphModule, graph: fx.Graph, images: torch.Tensor,
           changing: Collection[nn.Module]) -> dict:
    """{step: its value} of the steps that are fixed."""
    interpreter = fx.Interpreter(module)
    interpreter.args_iter = iter((images,))
    layers = dict(module.named_modules())
    devices = [images.device] if images.is_cuda else []
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        for node in graph.nodes:
            if node.op == "output" or not all(step in interpreter.env
                                              for step in node.all_input_nodes):
                continue
            if node.op == "call_module" and _varies(layers[node.target], changing):
                continue
            value, drew = _run(interpreter, node, images)
            if not drew and not _requires_grad(value):
                interpreter.env[node] = value
    return interpreter.env


def _run(interpreter: fx.Interpreter, node: fx.Node, images: torch.Tensor) -> tuple[object, bool]:
    """What a step gives, and whether it draws random numbers. No generator moves for fake tensors,
    so there the step draws if one of its operators is known to."""
    if isinstance(images, FakeTensor):
        with _Drawing() as operators:
            return interpreter.run_node(node), operators.drew
    before = random_state(images.device)
    value = interpreter.run_node(node)
    return value, not torch.equal(before, random_state(images.device))


class _Drawing(TorchDispatchMode):
    """Notices operators that draw random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.drew = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags:
            given = {each.name: each.default_value for each in func._schema.arguments}
            given |= dict(zip(given, args, strict=False)) | kwargs
            # Attention is said to, and does where it drops something out.
            self.drew |= given.get("dropout_p") != 0
        return func(*args, **kwargs)


def _varies(layer: nn.Module, changing: Collection[nn.Module]) -> bool:
    """Whether a layer trains, or normalises by the statistics of a batch."""
    return any(parameter.requires_grad for parameter in layer.parameters()) or any(
        module in changing or (isinstance(module, nn.modules.batchnorm._BatchNorm)
                               and (module.training or module.running_mean is None))
        for module in layer.modules())


def _requires_grad(value: object) -> bool:
    if isinstance(value, (tuple, list)):
        return any(map(_requires_grad, value))
    return isinstance(value, torch.Tensor) and value.requires_grad


def _dependent(graph: fx.Graph, source: fx.Node) -> set[fx.Node]:
    """The steps that depend on the images, and not on parameters alone."""
    dependent = {source}
    for node in graph.nodes:
        if any(step in dependent for step in node.all_input_nodes):
            dependent.add(node)
    return dependent


def _frontier(graph: fx.Graph, fixed: dict, of_image: set[fx.Node]) -> list[fx.Node]:
    """The fixed steps whose outputs the rest reads. A fixed step that puts out something other than
    a tensor (a size, a list) and is read by the rest moves there, out of `fixed`: a size is that of
    the batch."""
    while True:
        frontier = [node for node in graph.nodes if node in fixed and node in of_image
                    and any(user not in fixed for user in node.users)]
        others = [node for node in frontier if not isinstance(fixed[node], torch.Tensor)]
        if not others:
            return frontier
        for node in others:
            del fixed[node]


def _prefix(model: nn.Module, graph: fx.Graph, frontier: list[fx.Node]) -> fx.GraphModule:
    needed = _ancestors(frontier)
    new, copies = fx.Graph(), {}
    for node in graph.nodes:
        if node in needed:
            copies[node] = new.node_copy(node, copies.__getitem__)
    new.output(tuple(copies[node] for node in frontier))
    return fx.GraphModule(model, new)


def _rest(model: nn.Module, graph: fx.Graph, fixed: dict,
          frontier: list[fx.Node]) -> fx.GraphModule:
    # With what depends on parameters alone, which is not one for each image.
    needed = _ancestors([node for node in graph.nodes if node not in fixed], frontier)
    new = fx.Graph()
    given = new.placeholder("activations")
    copies = {node: new.call_function(operator.getitem, (given, number))
              for number, node in enumerate(frontier)}
    for node in graph.nodes:
        if node in needed:
            copies[node] = new.node_copy(node, copies.__getitem__)
    return fx.GraphModule(model, new)


def _ancestors(nodes: list[fx.Node], given: list[fx.Node] = ()) -> set[fx.Node]:
    """Some steps and all that lead to them from those that are given."""
    leading, waiting = set(), list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in leading and node not in given:
            leading.add(node)
            waiting += node.all_input_nodes
    return leading


def _flops(rest: nn.Module, outputs: tuple[torch.Tensor, ...]) -> int:
    """Operations of a forward pass for an image. In evaluation mode, which changes no
    statistics."""
    modes = {module: module.training for module in rest.modules()}
    rest.eval()
    try:
        devices = [outputs[0].device] if outputs[0].is_cuda else []
        with (_countable(), torch.random.fork_rng(devices=devices), torch.no_grad(),
              FlopCounterMode(display=False) as flops):
            rest(outputs)
    finally:
        for module, mode in modes.items():
            module.training = mode
    return flops.get_total_flops() // len(outputs[0])


@contextmanager
def _countable() -> Iterator[None]:
    """Attention in steps that can be counted, and not as the one operation that torch has for
    evaluation."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
