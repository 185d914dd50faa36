"""A row for each run with validation images: its validation accuracy after as many epochs as every
other run had; means over seeds.

    epochs_matched          the fewest that a run's seed had
    accuracy_after_epochs   then, in percent
    epochs                  of the whole training
"""

from unfreeze.judging.cells import mean
from unfreeze.judging.outcome import Outcome

HEADER = ("run", "epochs_matched", "accuracy_after_epochs", "epochs")


def rows(outcome: Outcome) -> list[tuple]:
    curves = {run.name: accuracies for run in outcome.finished
              if (accuracies := _by_seed(run.history))}
    if not curves:
        return []
    matched = min(max(seed) for run in curves.values() for seed in run)
    return [(run, matched, mean([seed[matched] for seed in seeds if matched in seed]),
             mean([max(seed) for seed in seeds])) for run, seeds in curves.items()]


def _by_seed(history: list[dict[str, str]]) -> list[dict[int, float]]:
    """{epoch: validation accuracy in percent} of each seed."""
    seeds: dict[str, dict[int, float]] = {}
    for row in history:
        if row["validation_accuracy"]:
            seeds.setdefault(row["seed"], {})[int(row["epoch"])] = round(
                100 * float(row["validation_accuracy"]), 4)
    return list(seeds.values())
