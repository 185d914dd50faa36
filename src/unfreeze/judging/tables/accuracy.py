"""A row a run, best first, without the failed: mean accuracy over seeds and its 95 % interval, what
that is over, and each seed's accuracy, with spaces between (a list in a table's cell)."""

from unfreeze.judging.outcome import Outcome

HEADER = ("run", "accuracy", "std", "low", "high", "replicates", "images", "interval", "seeds")


def rows(outcome: Outcome) -> list[tuple]:
    table = []
    for run in outcome.finished:
        accuracy, effect = run.metrics["accuracy"], outcome.intervals[run.name]["accuracy"]
        table.append((run.name, accuracy["mean"], accuracy["std"], round(effect.low, 4),
                      round(effect.high, 4), accuracy["n"], effect.images,
                      "images" if effect.seeds == 1 else "seeds and images",
                      " ".join(map(str, accuracy["seeds"].values()))))
    return sorted(table, key=lambda row: (-row[1], row[0]))
