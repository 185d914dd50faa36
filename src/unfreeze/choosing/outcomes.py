"""What trials came to, as training keeps it in the scratch folder."""

from unfreeze.choosing.scores import Outcome
from unfreeze.recipe import Recipe, replicate_digest
from unfreeze.training import checkpoint, result
from unfreeze.training.finished import Finished


def kept(recipe: Recipe, seed: int) -> Outcome | None:
    """What a trial came to; None: it is not in the scratch folder."""
    digest = replicate_digest(recipe, seed)
    if not checkpoint.is_finished(digest):
        return None
    for kind in result.kinds(digest) or [_arithmetic()]:
        content = checkpoint.Scratch(digest, kind).load_done()
        finished = content and Finished.from_bytes(content)
        if finished:
            return outcome_of(recipe, finished)
    return None


def outcome_of(recipe: Recipe, finished: Finished) -> Outcome:
    """What a choice needs of a trial."""
    return Outcome(finished.validation_logits, finished.validation_labels,
                   _kept_epoch(recipe, finished), finished.cost.seconds)


def _arithmetic() -> str:
    from unfreeze.training import devices  # here, since it imports torch

    return devices.pick().arithmetic


def _kept_epoch(recipe: Recipe, finished: Finished) -> int:
    """The epoch whose weights a replicate has, counted over all phases as planned: a phase that
    `patience` ended early counts whole."""
    history = finished.history
    row = history[(finished.best_epoch or len(history)) - 1]
    before = sum(phase.knobs["epochs"] for phase in recipe.phases[:row["phase"] - 1])
    first = next(each["epoch"] for each in history if each["phase"] == row["phase"])
    return before + row["epoch"] - first + 1
