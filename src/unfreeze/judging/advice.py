"""What would decide a claim that is open: more seeds, more test images, or both."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unfreeze import words
from unfreeze.judging import planning
from unfreeze.judging.planning import Range
from unfreeze.judging.statistics import Effect


@dataclass(frozen=True)
class OpenClaim:
    """A claim that is not distinguishable.

    Attributes:
        effects: of its comparisons, above 0 where they are as claimed; at least one.
        shown: of each comparison, whether it is found to hold.
        level: p at which the claim is tested.
        unit: of the effects.
        worth: the difference to plan for; None: that which was found.
    """

    effects: Sequence[Effect]
    shown: Sequence[bool]
    level: float
    unit: str
    worth: float | None = None

    @property
    def missing(self) -> list[Effect]:
        """What must come out clearer: the one that contradicts most clearly, or else all that are
        not found to hold."""
        against = [effect for effect in self.effects if effect.mean < 0 and _says_something(effect)]
        if against:
            return [min(against, key=lambda effect: effect.p_below)]
        return [effect for effect, shown in zip(self.effects, self.shown, strict=True) if not shown]

    def seeds(self, times: float = 1) -> Range | None:
        """Needed, with so many times the test images."""
        ranges = [planning.seeds_needed(planning.with_images(effect, times),
                                        self.worth or effect.mean, self.level)
                  for effect in self.missing]
        if None in ranges:
            return None
        highs = [each.high for each in ranges]
        return Range(max(each.low for each in ranges), None if None in highs else max(highs))

    def images(self) -> int | None:
        """Needed."""
        counts = [planning.images_needed(effect, self.worth or effect.mean, self.level)
                  for effect in self.missing]
        return None if None in counts else max(counts)


def _says_something(effect: Effect) -> bool:
    """Whether it is larger than its standard error: what is below could be anything, and nobody can
    say what would decide it."""
    return abs(effect.mean) > np.sqrt(effect.image_variance + effect.seed_variance)


def text(claim: OpenClaim) -> str:
    """A sentence, without its full stop; "" where the effect is below its error."""
    if not all(map(_says_something, claim.missing)):
        return ""
    seeds_now = f"now {min(effect.seeds for effect in claim.missing)}"
    images_now = f"now {claim.missing[0].images:,}"
    goal = ("would show a difference of " + words.quantity(claim.worth, claim.unit)
            if claim.worth else "would probably decide it")
    seeds, images = claim.seeds(), claim.images()
    ways = [f"{in_words(seeds)} ({seeds_now})"] if seeds else []
    ways += [f"{words.about(images)} test images ({images_now})"] if images else []
    if ways:
        return f"about {' or '.join(ways)} {goal}"
    if any(effect.here for effect in claim.missing):
        return f"more seeds would be needed first ({seeds_now})"
    for times in (2, 5, 10):
        seeds = claim.seeds(times)
        if seeds:
            return (f"about {in_words(seeds)} ({seeds_now}) with {times} times the test images "
                    f"({images_now}) {goal}; either alone would not")
    return f"not even {planning.MOST} seeds with {times} times the test images {goal}"


def in_words(seeds: Range) -> str:
    """5 to 12 seeds."""
    if seeds.high is None:
        return f"{seeds.low} seeds or more"
    if seeds.low == seeds.high:
        return words.count(seeds.low, "seed")
    return f"{seeds.low} to {words.count(seeds.high, 'seed')}"
