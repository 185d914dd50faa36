"""The augmentations of training images: a file each, found by being here, named as its knob.

A file offers

    KNOBS       one knob: its switch and strength; off at false, 0 and "none". Readable without
                importing the file, so of nothing but params.knob.
    PLACE       when it is applied, among the others: the smallest first
    draw(n, value, random)
                (n, ...) tensor on the CPU: what each of n images draws from a torch.Generator,
                which goes on by as much whatever the value
    apply(images, drawn, value)
                (B, S, S, 3) uint8 on any device, and what these B images drew, there or on the
                CPU -> the same images, changed

and, where an image can look in few ways only,

    variants(value)
                (V, ...) tensor: everything that an image may draw. Without it images are taken
                never to repeat, and frozen layers are computed anew every epoch.

A new file changes no run that does not switch it on: it draws from a generator of its own.
"""

import importlib
import pkgutil
from types import ModuleType
from typing import Any


def names() -> list[str]:
    """All augmentations, sorted."""
    return sorted(entry.name for entry in pkgutil.iter_modules(__path__))


def is_on(value: Any) -> bool:
    """Whether the value of an augmentation's knob switches it on."""
    return value not in (0, False, "none")


def module(name: str) -> ModuleType:
    """An augmentation by its knob; importing it imports torch."""
    return importlib.import_module(f"{__name__}.{name}")
