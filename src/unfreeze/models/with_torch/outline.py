"""Models without numbers: their structure and shapes alone, in no time and no memory."""

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from unfreeze import models


def outline(name: str, stem: str, classes: int, image_size: int) -> nn.Module:
    """A model as `models.build` gives it, on the meta device."""
    return on_meta(lambda: models.build(name, stem, classes, image_size))


def on_meta(build) -> nn.Module:
    """What a function builds, on the meta device, as far as it can be told without computing."""
    with _EmptyTensors():
        return build().to("meta")


class _EmptyTensors(TorchFunctionMode):
    """Makes parameters on the meta device. `with torch.device("meta")` would make all tensors
    there, of which some constructors read values (RegNet's widths)."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function in (torch.Tensor.normal_, torch.Tensor.uniform_) and args[0].is_meta:
            return args[0]  # nothing to fill, and half of the time
        if function in (torch.empty, torch.zeros, torch.ones) and kwargs.get("device") is None:
            kwargs = kwargs | {"device": "meta"}
        return function(*args, **kwargs)
