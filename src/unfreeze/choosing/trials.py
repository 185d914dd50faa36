"""Which trials a search trains: every candidate with each seed and fold, all at once or, where
halving is asked for, rung by rung."""

import functools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from unfreeze import places
from unfreeze.choosing import halving, work
from unfreeze.choosing.pinned import Pinned, trial
from unfreeze.choosing.scores import Outcome, ranking
from unfreeze.errors import UserError
from unfreeze.recipe import PinnedSubset, Recipe
from unfreeze.training.inputs import indices


@dataclass(frozen=True)
class Trial:
    """A trial to be trained.

    Attributes:
        candidate: its place among the pinned ones. seed, fold: its own.
        divisor: of its epochs, above 1 on the lower rungs of halving.
        recipe: with that seed alone.
    """

    candidate: int
    seed: int
    fold: int
    divisor: int
    recipe: Recipe = field(compare=False)

    @property
    def subset(self) -> PinnedSubset:
        return self.recipe.seeds[self.seed]

    @property
    def validation(self) -> list[int]:
        """Indices of its validation images, in the training split."""
        return indices(self.recipe, self.seed, places.SUBSETS)["validation"]

    @property
    def epochs(self) -> int:
        """Planned, of all phases."""
        return sum(phase.knobs["epochs"] for phase in self.recipe.phases)

    @property
    def operations(self) -> int:
        """Counted, of training it."""
        return work.operations(self.recipe, self.seed)


Outcomes = dict[Trial, Outcome]
# Gives the trials of a rung, and is sent what they came to; at last returns it all.
Search = Generator[list[Trial], Sequence[Outcome], Outcomes]


def search(run: str, pinned: Pinned) -> Search:
    """The trials of a run, rung by rung.

    Raises:
        UserError: `operations` is less than a single candidate takes.
    """
    going_on, outcomes = affordable(run, pinned), {}
    rungs = divisors(pinned, len(going_on))
    for divisor in rungs:
        rung = of_rung(pinned, going_on, divisor)
        found = dict(zip(rung, (yield rung), strict=True))
        outcomes |= found
        if divisor > 1:
            ranked = [place for place in ranking(pinned, {
                place: [outcome for each, outcome in found.items() if each.candidate == place]
                for place in going_on})]
            going_on = halving.go_on(ranked, pinned.halving)
    return outcomes


def of_rung(pinned: Pinned, candidates: Sequence[int], divisor: int) -> list[Trial]:
    """The trials of some candidates, with so many times fewer epochs."""
    return [
        Trial(place, seed, fold, divisor, trial(
            halving.shortened(pinned.candidates[place].recipe, divisor), seed, subset))
        for place in candidates
        for seed, subsets in pinned.trial_seeds.items() for fold, subset in enumerate(subsets)]


def divisors(pinned: Pinned, candidates: int) -> list[int]:
    """Of the rungs of so many candidates."""
    epochs = max(phase.knobs["epochs"] for candidate in pinned.candidates
                 for phase in candidate.recipe.phases)
    return halving.divisors(pinned.halving, candidates, epochs)


def affordable(run: str, pinned: Pinned) -> list[int]:
    """The places of the candidates that are tried: of those in order, as many as the operations
    that a search may take allow, should the dearest go on at each rung.

    Raises:
        UserError: they allow not even one.
    """
    everyone = range(len(pinned.candidates))
    if pinned.operations is None:
        return list(everyone)

    @functools.cache
    def cost(place: int, divisor: int) -> int:
        return sum(each.operations for each in of_rung(pinned, [place], divisor))

    for count in range(len(everyone), 0, -1):
        if _most(pinned, count, cost) <= pinned.operations:
            return list(range(count))
    raise UserError(
        f"params.yaml: search of {run}: operations: {pinned.operations:g} are fewer than the "
        f"{_most(pinned, 1, cost):g} that one candidate takes; allow more, or search fewer epochs")


def _most(pinned: Pinned, count: int, cost: Callable[[int, int], int]) -> int:
    """Operations of a search among the first `count` candidates, if the dearest go on.

    Args:
        cost: of the trials of a candidate, by its place and what their epochs are divided by.
    """
    total, left = 0, count
    for divisor in divisors(pinned, count):
        costs = sorted((cost(place, divisor) for place in range(count)), reverse=True)
        total += list(accumulate(costs))[left - 1]
        left = -(-left // pinned.halving) if pinned.halving else left
    return total
