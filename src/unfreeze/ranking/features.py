"""A pretrained model as its weights come, with their own classifier, and what it makes of images.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from unfreeze import models
from unfreeze.data.reading.images import Images
from unfreeze.errors import UserError
from unfreeze.models import weights
from unfreeze.training.devices import Device

BATCH = 32  # images


@dataclass(frozen=True)
class Pretrained:
    """A model.

    Attributes:
        name: of the model. network: with all of its weights.
        last: its last layer's name. has_head: whether the weights bring that.
    """

    name: str
    network: nn.Module
    last: str
    has_head: bool

    @property
    def parameters(self) -> int:
        """Of all layers but the last."""
        head = self.network.get_submodule(self.last)
        return sum(part.numel() for part in self.network.parameters()) - sum(
            part.numel() for part in head.parameters())


@dataclass(frozen=True)
class Output:
    """What a model makes of N images.

    Attributes:
        values: (N, D) float64, what goes into the last layer; of maps their mean over places.
        probabilities: (N, K) float64, of the classes of the weights' own classifier; None where
            they bring none.
        operations: of a pass of an image, counted as training.cost counts them.
    """

    values: torch.Tensor
    probabilities: torch.Tensor | None
    operations: int


def load(name: str, file: Path, image_size: int, unused: tuple[str, ...] = ()) -> Pretrained:
    """A model with the weights of a file.

    Args:
        name: of the model. file: a safetensors file.
        image_size: side of the images, in pixels.
        unused: modules of the file that the model does not have.

    Raises:
        UserError: the file is missing or damaged, or does not fit.
    """
    facts = models.facts_of(name)
    tensors = models.fit_weights(
        name, {key: torch.from_numpy(array) for key, array in weights.read_arrays(file).items()},
        image_size)
    head = tensors.get(f"{facts.last}.weight")
    network = models.build(name, "original", 1 if head is None else len(head), image_size)
    weights.load_into(network, tensors, fresh=(facts.last,) if head is None else (),
                      what=str(file), unused=unused)
    return Pretrained(name, network.eval(), facts.last, head is not None)


def of_images(model: Pretrained, images: Images, device: Device) -> Output:
    """What the model makes of some images, one or more, in float32.

    Raises:
        UserError: what it makes of them is not finite, or does not go through its last layer.
    """
    network = model.network.to(device.torch, memory_format=torch.channels_last)
    seen: list[torch.Tensor] = []
    head = network.get_submodule(model.last)
    handle = head.register_forward_pre_hook(lambda _, inputs: seen.append(
        _pooled(inputs[0], isinstance(head, nn.Conv2d)).double().cpu()))
    logits, flops = [], FlopCounterMode(display=False)
    try:
        with torch.inference_mode():
            for batch, labels in images.batches(BATCH):
                if logits:
                    logits.append(network(batch).double().cpu())
                else:
                    with flops:
                        logits.append(network(batch).double().cpu())
                    operations = round(flops.get_total_flops() / len(labels))
    finally:
        handle.remove()
    if not seen:
        raise UserError(f"{model.name}: does not call its last layer {model.last}, so what goes "
                        "into that cannot be had; leave it out of `rank`")
    values, logits = torch.cat(seen), torch.cat(logits)
    if not (values.isfinite().all() and logits.isfinite().all()):
        raise UserError(f"{model.name}: what its weights make of these images is not finite; leave "
                        "it out of `rank`")
    return Output(values, logits.softmax(1) if model.has_head else None, operations)


def _pooled(inputs: torch.Tensor, by_maps: bool) -> torch.Tensor:
    """(N, D) of what goes into a last layer, whose channels come second in a convolution's maps and
    last in a linear layer's."""
    if by_maps:
        return inputs.flatten(2).mean(2)
    return inputs if inputs.ndim == 2 else inputs.flatten(1, -2).mean(1)
