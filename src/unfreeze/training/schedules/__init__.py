"""Schedules of the learning rate: one file a schedule, found by its name.

A schedule's file offers:

    multiplier(epoch, epochs, knobs)   of every learning rate, in an epoch (from 0) of `epochs`,
                                       warm-up not counted; knobs: of the phase
    KNOBS                              only where it has knobs of its own (see params/knob.py)
"""

import importlib

from unfreeze.recipe import Knobs


def multiplier(knobs: Knobs, epoch: int) -> float:
    """Multiplier of every learning rate in an epoch (from 0) of a phase, as torch's schedulers step
    once an epoch. Epochs of warm-up do not count; in them it is 1.

    Args:
        knobs: of the phase: schedule, epochs, warmup_epochs, and the schedule's own.
    """
    epoch, epochs = epoch - knobs["warmup_epochs"], knobs["epochs"] - knobs["warmup_epochs"]
    if epoch < 0:
        return 1.0
    schedule = importlib.import_module(f"{__name__}.{knobs['schedule']}")
    return schedule.multiplier(epoch, epochs, knobs)
