"""BatchNorm folded into the convolution before it, where a model is only asked, not trained.

With fixed statistics BatchNorm is one multiplication and one addition for each channel, which the
convolution can do (Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.2):

    scale = gamma / sqrt(variance + eps)
    weight' = weight * scale,   bias' = beta + (bias - mean) * scale

computed in float64 and rounded once. Whatever is inferred goes through this, so that all of it is
computed alike: predictions, validation, and what frozen layers put out. A layer about which there
is any doubt stays as it is.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import torch
from torch import fx, nn

from unfreeze.training.tracing import NotTraced, trace
from unfreeze.tuning.lean import LeanBatchNorm2d, LeanConv2d

_CONVOLUTIONS = {nn.Conv2d, LeanConv2d}
_NORMS = {nn.BatchNorm2d, LeanBatchNorm2d}
Pair = tuple[nn.Conv2d, nn.BatchNorm2d]


def pairs(model: nn.Module) -> list[Pair]:
    """The convolutions of a model, in the mode that it is in, whose output goes into a BatchNorm
    with fixed statistics and nowhere else; [] of a model whose forward pass cannot be traced."""
    try:
        graph = model.graph if isinstance(model, fx.GraphModule) else trace(
            model, next(model.parameters()).device)
    except NotTraced:
        return []
    layers = dict(model.named_modules(remove_duplicate=False))
    calls = Counter(layers[node.target] for node in graph.nodes if node.op == "call_module")
    places = Counter(layers.values())

    def once(layer: nn.Module) -> bool:
        return (calls[layer] == places[layer] == 1
                and not layer._forward_hooks and not layer._forward_pre_hooks)

    found = []
    for node in graph.nodes:
        if node.op != "call_module" or len(node.args) != 1 or node.kwargs:
            continue
        norm, (before,) = layers[node.target], node.args
        if not (type(norm) in _NORMS and not norm.training and norm.running_mean is not None
                and isinstance(before, fx.Node) and before.op == "call_module"
                and len(before.users) == 1):
            continue
        convolution = layers[before.target]
        if type(convolution) in _CONVOLUTIONS and once(convolution) and once(norm):
            found.append((convolution, norm))
    return found


class Folded:
    """Layers folded as their numbers are now.

    Args:
        pairs: as of `pairs`.
    """

    @torch.no_grad()
    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._layers = [(convolution, norm, *_fold(convolution, norm))
                        for convolution, norm in pairs]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, these layers compute as one. Their tensors stay what they are."""
        for convolution, norm, weight, bias in self._layers:
            convolution.forward = partial(convolution._conv_forward, weight=weight, bias=bias)
            norm.forward = _as_it_is
        try:
            yield
        finally:
            for convolution, norm, *_ in self._layers:
                with suppress(AttributeError):  # a layer may be in both parts of a model
                    del convolution.forward, norm.forward


def folded(model: nn.Module) -> Folded:
    """All layers of a model that can be."""
    return Folded(pairs(model))


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    weight = torch.empty_like(convolution.weight)  # and in memory as it lies there
    weight.copy_(convolution.weight.double() * scale.view(-1, 1, 1, 1))
    shift = -norm.running_mean.double()
    if convolution.bias is not None:
        shift = shift + convolution.bias.double()
    bias = shift * scale
    if norm.bias is not None:
        bias = bias + norm.bias.double()
    return weight, bias.to(weight.dtype)


def _as_it_is(x: torch.Tensor) -> torch.Tensor:
    return x
