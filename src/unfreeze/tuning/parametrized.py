"""Taking a parametrization away from a layer."""

from torch import nn
from torch.nn.utils import parametrize


def keep(layer: nn.Module, name: str) -> None:
    """Let a parametrized tensor be what it computes, a parameter again. Copies of the layer stay
    parametrized, although they share the class that torch has made for it: from that class torch
    would take the tensor away, and so from them too."""
    kind = type(layer)
    layer.__class__ = type(kind.__name__, kind.__bases__, {
        key: value for key, value in vars(kind).items() if key not in ("__dict__", "__weakref__")})
    parametrize.remove_parametrizations(layer, name)
