"""The forward pass of a model as a graph (torch.fx), or that it cannot be had."""

import random

import numpy as np
import torch
from torch import fx, nn
from torchvision.ops import StochasticDepth


class NotTraced(Exception):
    """There is no graph of the model; the text says why."""


class _Tracer(fx.Tracer):
    """Looks into the layers of torchvision's models, and not into layers of our own, such as have
    hooks, or such as memory.py may change, which run as they are."""

    proxy_buffer_attributes = True

    def __init__(self, model: nn.Module) -> None:
        self._layers_of_timm, functions = _untraced_of_timm(model)
        super().__init__(autowrap_functions=functions)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return (super().is_leaf_module(m, module_qualified_name)
                or isinstance(m, StochasticDepth) or bool(m._forward_hooks)
                or bool(m._forward_pre_hooks) or type(m).__module__.startswith("unfreeze.")
                or type(m) in self._layers_of_timm)


def _untraced_of_timm(model: nn.Module) -> tuple[tuple, tuple]:
    """Layers and functions that timm says are not to be looked into; none where it has no part."""
    if not any(type(module).__module__.startswith("timm.") for module in model.modules()):
        return (), ()
    from timm import layers

    return tuple(layers.get_notrace_modules()), tuple(layers.get_notrace_functions())


def trace(model: nn.Module, device: torch.device) -> fx.Graph:
    """What a model computes, in the mode (training or not) that it is in.

    What its own code makes while it is traced (random numbers, new tensors) would be made once and
    for all, so it makes nothing. The model stays as it is, and so does torch's random state.

    Args:
        device: of the model.

    Raises:
        NotTraced: its Python code cannot be traced, or makes something.
    """
    attributes = {module: dict(_attributes(module)) for module in model.modules()}
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        before = _random_states(device)
        try:
            graph = _Tracer(model).trace(model)
        except Exception as error:  # whatever the code of a model does with what is no tensor
            raise NotTraced(
                f"its forward pass cannot be traced ({type(error).__name__})") from None
        finally:
            made = any(_attributes(module).keys() != was.keys()
                       or any(_attributes(module)[name] is not value
                              for name, value in was.items())
                       for module, was in attributes.items())
            for module, was in attributes.items():
                _attributes(module).clear()
                _attributes(module).update(was)
        after = _random_states(device)
    if made or before != after:
        raise NotTraced("its forward pass makes tensors or random numbers of its own")
    return graph


def random_state(device: torch.device) -> torch.Tensor:
    """Of torch, on the processor and the device."""
    state = torch.get_rng_state()
    if device.type == "cuda":
        state = torch.cat([state, torch.cuda.get_rng_state(device)])
    return state


def _random_states(device: torch.device) -> tuple:
    """Of torch, Python and NumPy, to compare."""
    kind, keys, *place = np.random.get_state()
    return random.getstate(), (kind, keys.tobytes(), *place), random_state(device).tolist()


def _attributes(layer: nn.Module) -> dict[str, object]:
    return vars(layer)
