"""A replicate to be trained ahead."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unfreeze import places
from unfreeze.choosing.work import operations
from unfreeze.recipe import Recipe, replicate_digest
from unfreeze.training import checkpoint, counting

_OF_TORCH = 500_000_000  # bytes


@dataclass(frozen=True)
class Task:
    """A replicate to be trained.

    Attributes:
        recipe, seed: what. label: of what it prints.
    """

    recipe: Recipe
    seed: int
    label: str

    @property
    def threads(self) -> int:
        return self.recipe.knobs["threads"]

    @cached_property
    def identity(self) -> str:
        return replicate_digest(self.recipe, self.seed)

    @property
    def finished(self) -> bool:
        """Whether it is in the scratch folder."""
        return checkpoint.is_finished(self.identity)

    @property
    def log(self) -> Path:
        """Where all that is printed while it is trained goes."""
        name = re.sub(r"[^\w.-]+", "_", self.label)[:100]
        return places.LOGS / f"{name}-{self.identity[:8]}.log"

    @cached_property
    def operations(self) -> int:
        """Counted, of training it."""
        return operations(self.recipe, self.seed)

    @cached_property
    def memory(self) -> int:
        """Bytes that its process takes on a CPU, about: torch, the model with gradients and
        optimizer, and twice what a step keeps (benchmarks/throughput.py)."""
        phases = counting.counted(self.recipe).phases
        return (_OF_TORCH + 16 * max(phase.parameters_total for phase in phases)
                + 2 * max(phase.activation_bytes for phase in phases))

    @cached_property
    def prefix(self) -> str:
        """What it shares with others, if all goes well: what its frozen layers put out for its
        images, which the first of them keeps for the others. "" where nothing is frozen."""
        recipe, first = self.recipe, self.recipe.phases[0].knobs
        if not counting.counted(recipe).phases[0].flops_prefix:
            return ""
        return (f"{recipe.knobs['model']} {recipe.knobs['stem']} {first['freeze']} "
                f"{recipe.preprocessing} {recipe.seeds[self.seed].file}")
