"""What the layers of a model see and put out, from a forward pass without arithmetic."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Shapes:
    """Of what a layer sees and what it puts out, for one image."""

    seen: torch.Size
    given: torch.Size


def shapes(model: nn.Module, paths: Iterable[str], image_size: int) -> dict[str, Shapes]:
    """{layer: what it sees and puts out} of those of some layers that are called. Some are not:
    others read their weights.

    Args:
        model: left as it is. paths: of the layers.
        image_size: side in pixels of what the model sees.
    """
    shadow, found = copy.deepcopy(model).to("meta").eval(), {}

    def note(path: str):
        def hook(_, inputs: tuple, output) -> None:
            given = output[0] if isinstance(output, tuple) else output
            found[path] = Shapes(inputs[0].shape, given.shape)

        return hook

    for path in paths:
        shadow.get_submodule(path).register_forward_hook(note(path))
    with torch.no_grad():
        shadow(torch.empty(1, 3, image_size, image_size, device="meta"))
    return found
