"""A row a run, best first by the score that the study goes by, without the failed: its mean over
seeds and 95 % interval, what that is over, each seed's score, with spaces between (a list in a
table's cell), and the settings at which it was reached. A run with too few classes for the score
comes last, without numbers."""

from unfreeze.judging.outcome import Outcome
from unfreeze.scoring.scores import SCORES

HEADER = ("run", "score", "std", "low", "high", "replicates", "images", "interval", "seeds",
          "settings")


def rows(outcome: Outcome) -> list[tuple]:
    table = []
    for run in outcome.finished:
        score = run.metrics.get(outcome.score)
        if score is None:
            table.append((run.name, *(None,) * 8, run.settings))
            continue
        effect = outcome.intervals[run.name][outcome.score]
        table.append((run.name, score["mean"], score["std"], round(effect.low, 4),
                      round(effect.high, 4), score["n"], effect.images,
                      "images" if effect.here else "seeds and images",
                      " ".join(map(str, score["seeds"].values())), run.settings))
    sign = -1 if SCORES[outcome.score].better == "higher" else 1
    return sorted(table, key=lambda row: (row[1] is None, sign * (row[1] or 0), row[0]))
