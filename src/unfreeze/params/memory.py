"""Knobs so large that no memory of this machine holds what they make: seen before anything runs."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from unfreeze.errors import Fault
from unfreeze.params.facts import RunFacts
from unfreeze.params.knobs import KNOBS
from unfreeze.words import quantity

_NUMBER = 4  # bytes of one
_CHANNELS = 3


def check(knobs: Mapping[str, Any], facts: RunFacts, memory: int | None = None) -> None:
    """What a knob alone makes must fit; whether all together does, training finds out.

    Args:
        knobs: of a run, image_size as a number. memory: bytes; those of this machine if None.

    Raises:
        Fault: of the first knob that is too large.
    """
    memory = memory or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for knob, what, needed in (*_declared(knobs), *_of_images(knobs, facts)):
        if needed > memory:
            raise Fault(knob, f"{knobs[knob]} makes {what} of {quantity(needed, 'bytes')} or more, "
                              f"and this machine has {quantity(memory, 'bytes')} of memory; choose "
                              "a smaller one")


def _declared(knobs: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    """(knob, what it makes, bytes) by the declarations of the knobs that have an effect."""
    for name, knob in KNOBS.items():
        if knob.makes and all(knobs[other] in values for other, values in knob.read_with.items()):
            yield name, knob.makes.words, knob.makes.least_bytes(knobs[name])


def _of_images(knobs: Mapping[str, Any], facts: RunFacts) -> Iterator[tuple[str, str, int]]:
    """The same of the knobs that decide how large images are together."""
    batch = min(knobs["batch_size"], facts.dataset.train or 2)
    image = knobs["image_size"]**2 * _CHANNELS * _NUMBER
    yield "image_size", "one image", image
    if isinstance(knobs["resize"], int):
        yield "resize", "one image", knobs["resize"]**2 * _CHANNELS
    yield "batch_size", f"a batch of {batch} images", batch * image
