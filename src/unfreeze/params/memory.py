"""Knobs so large that no memory of this machine holds what they make: seen before anything runs."""

import os
from collections.abc import Mapping
from typing import Any

from unfreeze.errors import Fault
from unfreeze.params.facts import Facts

_NUMBER = 4  # bytes of one
_INPUTS = 256  # of a layer, at least: what no model here goes below by much
_CHANNELS = 3


def check(knobs: Mapping[str, Any], facts: Facts, memory: int | None = None) -> None:
    """What a knob alone makes must fit; whether all together does, training finds out.

    Args:
        knobs: of a run, image_size as a number. memory: bytes; those of this machine if None.

    Raises:
        Fault: of the first knob that is too large.
    """
    memory = memory or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    size, dataset = knobs["image_size"], facts.dataset
    batch = min(knobs["batch_size"], dataset.train or 2)
    image = size * size * _CHANNELS * _NUMBER
    for knob, what, wanted in (
            ("head_width", "a hidden layer", knobs["head"] == "mlp" and
             knobs["head_width"] * (_INPUTS + (dataset.classes or 2)) * _NUMBER),
            ("lora_rank", "the update of a weight", knobs["tune"] == "lora" and
             knobs["lora_rank"] * _INPUTS * _NUMBER),
            ("image_size", "one image", image),
            ("resize", "one image", isinstance(knobs["resize"], int) and
             knobs["resize"] ** 2 * _CHANNELS),
            ("batch_size", f"a batch of {batch} images", batch * image)):
        if wanted > memory:
            raise Fault(knob, f"{knobs[knob]} makes {what} of {wanted / 1e9:,.0f} GB or more, and "
                              f"this machine has {memory / 1e9:,.0f} GB of memory; choose a "
                              "smaller one")
