"""What training a run came to: all of its replicates. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from unfreeze import environment
from unfreeze.recipe import Recipe, replicate_digest
from unfreeze.training import arithmetic, checkpoint, counting
from unfreeze.training.checkpoint import Scratch
from unfreeze.training.counting import Counted
from unfreeze.training.finished import FINISHED_BEFORE, Finished
from unfreeze.words import count


@dataclass(frozen=True)
class Result:
    """What training a run came to.

    Attributes:
        replicates: {seed: what it came to}.
        counted: of the recipe.
    """

    replicates: Mapping[int, Finished]
    counted: Counted


def kept(run: str, recipe: Recipe) -> Result | None:
    """What is in the scratch folder, if that is the whole run, said as training says it; None
    where it is not, or that cannot be told without torch."""
    digests = {seed: replicate_digest(recipe, seed) for seed in recipe.seeds}
    first = next(iter(digests.values()))
    replicates = next(filter(None, (_in(kind, digests) for kind in kinds(first))), None)
    if replicates is None:
        return None
    counted, first = counting.counted(recipe), next(iter(replicates.values()))
    say(run, recipe, counted, f"{first.cost.device} in {first.cost.precision}")
    for seed, finished in replicates.items():
        print(f"{label(run, seed)}: {FINISHED_BEFORE}", flush=True)
        finished.warn(label(run, seed), recipe)
    return Result(replicates, counted)


def kinds(digest: str) -> list[str]:
    """The kinds of arithmetic in which a replicate may have been trained, that of this machine
    first: [] where that cannot be told without torch. What a cluster has trained is taken as it
    is, whatever its machines are.

    Args:
        digest: of the replicate.
    """
    own = arithmetic.without_torch()
    others = checkpoint.arithmetics(digest) if environment.cluster() else []
    return ([own] if own else []) + [kind for kind in others if kind != own]


def _in(kind: str, digests: Mapping[int, str]) -> dict[int, Finished] | None:
    """The replicates of a run, if all are in the scratch folder in one kind of arithmetic."""
    replicates = {}
    for seed, digest in digests.items():
        content = Scratch(digest, kind).load_done()
        finished = content and Finished.from_bytes(content)
        if not finished:
            return None
        replicates[seed] = finished
    return replicates


def label(run: str, seed: int) -> str:
    """Of a replicate, for what is printed."""
    return f"{run} seed {seed}"


def say(run: str, recipe: Recipe, counted: Counted, where: str) -> None:
    """Print what trains in each phase.

    Args:
        where: it trains, and how.
    """
    for number, rows in enumerate(counting.parts(counted, recipe), 1):
        title = f", phase {number} of {len(recipe.phases)}" if len(recipe.phases) > 1 else ""
        print(f"{run} on {where}, {count(recipe.knobs['threads'], 'thread')}{title}\n"
              f"{counting.as_text(rows)}", flush=True)
