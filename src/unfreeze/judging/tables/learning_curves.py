"""A row for each run, seed, epoch and split; accuracy in percent."""

from unfreeze.judging.outcome import Outcome

HEADER = ("run", "seed", "epoch", "split", "loss", "accuracy")


def rows(outcome: Outcome) -> list[tuple]:
    return [
        (run.name, epoch["seed"], epoch["epoch"], split, round(float(epoch[f"{split}_loss"]), 6),
         round(100 * float(epoch[f"{split}_accuracy"]), 4))
        for run in outcome.runs.values()
        for epoch in run.history
        for split in ("train", "validation")
        if epoch[f"{split}_loss"]
    ]
