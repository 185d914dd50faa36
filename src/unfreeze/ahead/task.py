"""A replicate to be trained ahead."""

from dataclasses import dataclass
from functools import cached_property

from unfreeze.recipe import Recipe, replicate_digest


@dataclass(frozen=True)
class Task:
    """A replicate to be trained.

    Attributes:
        run: the one that it is of, or a trial of. recipe, seed: what.
        label: of what it prints.
        operations: counted, of training it; the longest start first.
    """

    run: str
    recipe: Recipe
    seed: int
    label: str
    operations: int

    @property
    def threads(self) -> int:
        return self.recipe.knobs["threads"]

    @cached_property
    def identity(self) -> str:
        return replicate_digest(self.recipe, self.seed)
