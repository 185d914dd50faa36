"""`gamma` to the power of the epoch."""

from unfreeze.params.knob import FRACTION, Knob

KNOBS = (Knob("gamma", 0.9, FRACTION, "of the exponential schedule: multiplier an epoch"),)


def multiplier(epoch: int, epochs: int, knobs) -> float:
    return knobs["gamma"] ** epoch
