"""A row for each run, seed and epoch, without failed runs: validation accuracy in percent, after so
many seconds of training."""

from unfreeze.judging.outcome import Outcome

HEADER = ("run", "seed", "epoch", "seconds", "accuracy")


def rows(outcome: Outcome) -> list[tuple]:
    table = []
    for run in outcome.finished:
        seconds: dict[str, float] = {}
        for epoch in run.history:
            seed = epoch["seed"]
            seconds[seed] = seconds.get(seed, 0.0) + float(epoch["seconds"])
            if epoch["validation_accuracy"]:
                table.append((run.name, seed, epoch["epoch"], round(seconds[seed], 3),
                              round(100 * float(epoch["validation_accuracy"]), 4)))
    return table
