"""A row for each of a run's likeliest mistakes: the share of the true class's images in percent."""

from unfreeze.judging.outcome import Outcome

HEADER = ("run", "actual", "predicted", "percent")


def rows(outcome: Outcome) -> list[tuple]:
    return [(run.name, *mistake) for run in outcome.finished
            for mistake in run.metrics["confused"]]
