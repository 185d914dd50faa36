"""What would probably decide a claim that is open: more seeds, more test images, or both."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from unfreeze import words
from unfreeze.judging import statistics
from unfreeze.judging.statistics import Effect


@dataclass(frozen=True)
class OpenClaim:
    """A claim that is not distinguishable.

    Attributes:
        effects: of its comparisons, above 0 where they are as claimed; at least one.
        shown: of each comparison, whether it is found to hold.
        alpha: level at which the claim would have to be tested.
    """

    effects: Sequence[Effect]
    shown: Sequence[bool]
    alpha: float

    def needed(self) -> tuple[int | None, int | None]:
        """Seeds alone, and test images alone, that would probably decide it; None where no number
        that anybody would spend does."""
        functions = statistics.seeds_needed, statistics.images_needed
        against = [effect for effect in self.effects if effect.mean < 0]
        if against:  # one contradicted comparison decides
            level = self.alpha / len(self.effects)
            return tuple(min((count for count in (function(effect, level) for effect in against)
                              if count), default=None) for function in functions)
        # All that are open must come out as claimed.
        missing = [effect for effect, shown in zip(self.effects, self.shown, strict=True)
                   if not shown]
        counts = [[function(effect, self.alpha) for effect in missing] for function in functions]
        return tuple(None if None in column else max(column) for column in counts)

    def with_images(self, times: int) -> "OpenClaim":
        """The same with so many times the test images."""
        return replace(self, effects=[
            replace(effect, image_variance=effect.image_variance / times,
                    rest_variance=effect.rest_variance / times) for effect in self.effects])


def text(claim: OpenClaim) -> str:
    """A sentence, without its full stop."""
    seeds_now = min(effect.seeds for effect in claim.effects)
    images_now = f"{claim.effects[0].images:,}"
    seeds, images = claim.needed()
    ways = [f"{words.count(seeds, 'seed')} (now {seeds_now})"] if seeds else []
    ways += [f"{words.about(images)} test images (now {images_now})"] if images else []
    if ways:
        return f"about {' or '.join(ways)} would probably decide it"
    if seeds_now == 1:
        return (f"not even {statistics.MOST} times the test images would probably decide it; what "
                "more seeds would do, one seed cannot tell")
    for times in (2, 5, 10):
        seeds, _ = claim.with_images(times).needed()
        if seeds:
            return (f"about {words.count(seeds, 'seed')} (now {seeds_now}) with {times} times the "
                    f"test images (now {images_now}) would probably decide it; either alone would "
                    "not")
    return (f"not even {statistics.MOST} seeds with {times} times the test images would probably "
            "decide it")
