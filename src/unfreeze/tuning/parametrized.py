"""Tensors of a layer that are computed from others (torch's parametrizations) made plain again."""

from torch import nn
from torch.nn.utils import parametrize


def merge(model: nn.Module, kinds: type | tuple[type, ...]) -> None:
    """Let every tensor that modules of some kinds compute be what they compute, a parameter again.

    torch's own `remove_parametrizations` takes the tensor away from the class that it has made for
    the layer, which copies of the layer share; here these stay as they are.
    """
    for layer in list(model.modules()):
        computed = getattr(layer, "parametrizations", {})
        if any(isinstance(step, kinds) for chain in computed.values() for step in chain):
            values = {name: chain().detach() for name, chain in computed.items()}
            layer.__class__ = parametrize.type_before_parametrizations(layer)
            del layer.parametrizations
            for name, value in values.items():
                layer.register_parameter(name, nn.Parameter(value))
