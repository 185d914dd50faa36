"""Successive halving on epochs: all candidates train for a few epochs, the best of them for more,
and so on, up to all of their epochs.

Karnin et al. 2013 (https://proceedings.mlr.press/v28/karnin13.html); for settings of training,
Jamieson and Talwalkar 2016 (https://arxiv.org/abs/1502.07943), where a third goes on as here with
`halving: 3`. Each rung is trained anew, with a schedule of its own number of epochs: a learning
rate that has not fallen yet tells little of one that has.
"""

from collections.abc import Sequence
from dataclasses import replace

from unfreeze.recipe import Phase, Recipe


def divisors(factor: int, candidates: int, epochs: int) -> list[int]:
    """What the epochs of each rung are divided by, the last one's by 1.

    Args:
        factor: of successive halving, above 1; 0: every candidate is trained in full at once.
        candidates: at the start. epochs: the most that one of them trains for.
    """
    rungs = [1]
    while factor and rungs[-1] * factor <= min(candidates, epochs):
        rungs.append(rungs[-1] * factor)
    return rungs[::-1]


def go_on(ranked: Sequence[int], factor: int) -> list[int]:
    """The candidates that reach the next rung: of those ranked, best first, one in `factor`, at
    least one, in the order in which candidates are tried."""
    return sorted(ranked[:-(-len(ranked) // factor)])


def shortened(recipe: Recipe, divisor: int) -> Recipe:
    """A recipe whose phases train for so many times fewer epochs, 1 at least; a warmup shrinks
    with them."""
    return replace(recipe, phases=tuple(_shortened(phase, divisor) for phase in recipe.phases))


def _shortened(phase: Phase, divisor: int) -> Phase:
    epochs = max(1, phase.knobs["epochs"] // divisor)
    warmup = min(phase.knobs["warmup_epochs"] // divisor, epochs - 1)
    return Phase(phase.knobs | {"epochs": epochs, "warmup_epochs": warmup})
