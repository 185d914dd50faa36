"""What is done to the training images of an epoch, all augmentations together."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from unfreeze.data.reading import augmentations
from unfreeze.data.reading.augmentations import augment, crop_padding, flip, rotation

Generators = Callable[[str], torch.Generator]

# These draw, on or off, from one generator of the epoch, after the order of the images and one
# after another. Others have one of their own, so that it goes on unchanged where one is added.
_EPOCHS_OWN = {"flip": flip.draw, "rotation": rotation.draw, "crop_padding": crop_padding.draw,
               "augment": augment.draw}


@dataclass(frozen=True)
class Draws:
    """What an epoch draws for n images; `Chain.draw` draws on the CPU.

    Attributes:
        order: (n,) int64, in which the images are read.
        drawn: {augmentation that is on: (n, ...) what each image drew}, by image and not by order.
    """

    order: torch.Tensor
    drawn: Mapping[str, torch.Tensor]

    def to(self, device: torch.device) -> "Draws":
        """All of it on a device, sent at once."""
        return Draws(self.order.to(device), {name: drawn.to(device)
                                             for name, drawn in self.drawn.items()})


class Chain:
    """The augmentations that are on, one after another by their PLACE.

    Args:
        values: {knob: value}, as `augmentations` of a recipe; those that are off change nothing.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = {name: value for name, value in values.items() if augmentations.is_on(value)}
        modules = {name: augmentations.module(name) for name in self.values}
        self._modules = dict(sorted(modules.items(), key=lambda item: (item[1].PLACE, item[0])))

    def draw(self, n: int, generator: Generators) -> Draws:
        """What an epoch of n images draws. It depends on nothing but the generators, so neither the
        order nor what one augmentation draws depends on whether another is on.

        Args:
            generator: a generator on the CPU by what it is for: "order", and "augmentation/NAME" of
                those that have one of their own.
        """
        random = generator("order")
        order = torch.randperm(n, generator=random)
        drawn = {name: draw(n, self.values.get(name, 0), random)
                 for name, draw in _EPOCHS_OWN.items()}
        drawn |= {name: module.draw(n, self.values[name], generator(f"augmentation/{name}"))
                  for name, module in self._modules.items() if name not in _EPOCHS_OWN}
        return Draws(order, {name: drawn[name] for name in self._modules})

    def apply(self, images: torch.Tensor, draws: Draws, rows: torch.Tensor) -> torch.Tensor:
        """Change the images with these (B,) rows, (B, S, S, 3) uint8 on any device; rows and draws
        on the same, or on the CPU."""
        for name, module in self._modules.items():
            images = module.apply(images, draws.drawn[name][rows], self.values[name])
        return images

    @property
    def endless(self) -> list[str]:
        """Those of the augmentations that give an image no certain number of variants."""
        return [name for name, variants in self._variants().items() if variants is None]

    @property
    def variants(self) -> int:
        """In how many ways an image may look. Only where nothing is endless, as all that follows.
        """
        return math.prod(len(variants) for variants in self._variants().values())

    def apply_variant(self, images: torch.Tensor, number: int) -> torch.Tensor:
        """All of (B, S, S, 3) uint8 images in the variant of that number, from 0."""
        for name, variants in self._variants().items():
            number, which = divmod(number, len(variants))
            drawn = variants[which].expand(len(images), *variants.shape[1:])
            images = self._modules[name].apply(images, drawn, self.values[name])
        return images

    def variant_of(self, draws: Draws) -> torch.Tensor:
        """(n,) int64: the number of the variant that each image has drawn.

        Raises:
            ValueError: an image has drawn what its augmentation does not name among its variants.
        """
        total, factor = torch.zeros(len(draws.order), dtype=torch.int64), 1
        for name, variants in self._variants().items():
            drawn = draws.drawn[name]
            same = (drawn.reshape(len(drawn), 1, -1) == variants.reshape(len(variants), -1)).all(2)
            if not same.any(1).all():
                raise ValueError(f"{name}: variants() does not name all that draw() draws")
            total += factor * same.long().argmax(1)
            factor *= len(variants)
        return total

    def _variants(self) -> dict[str, torch.Tensor | None]:
        return {name: module.variants(self.values[name]) if hasattr(module, "variants") else None
                for name, module in self._modules.items()}
