"""A row for each run, seed, epoch and split; accuracy in percent. What somebody reported of a run's
training images has no seed and no loss."""

from unfreeze.judging.outcome import Outcome

HEADER = ("run", "seed", "epoch", "split", "loss", "accuracy")


def rows(outcome: Outcome) -> list[tuple]:
    ours = [
        (run.name, epoch["seed"], epoch["epoch"], split, round(float(epoch[f"{split}_loss"]), 6),
         round(100 * float(epoch[f"{split}_accuracy"]), 4))
        for run in outcome.runs.values()
        for epoch in run.history
        for split in ("train", "validation")
        if epoch[f"{split}_loss"]
    ]
    trained = {row[0] for row in ours}
    return ours + [
        (run, None, epoch, "train, as reported", None, accuracy)
        for run, curve in outcome.plan.reported_curves.items() if run in trained
        for epoch, accuracy in enumerate(curve, start=1)]
