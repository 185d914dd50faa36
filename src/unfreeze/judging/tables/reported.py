"""A row for each reported number, beside ours, its 95 % interval, and ours less it; a run that
failed, was not run, or has too few classes for the score has none."""

from unfreeze.judging.cells import interval, number
from unfreeze.judging.outcome import Outcome

HEADER = ("run", "metric", "ours", "low", "high", "reported", "difference", "within")


def rows(outcome: Outcome) -> list[tuple]:
    return [_row(outcome, run, score, reported) for run, numbers in outcome.plan.reported.items()
            for score, reported in numbers.items()]


def _row(outcome: Outcome, run: str, score: str, reported: float) -> tuple:
    ours = outcome.intervals.get(run, {}).get(score)
    if ours is None:
        why = ("not run" if run in outcome.plan.not_run else
               "failed" if run not in outcome.intervals else "too few classes")
        return run, score, None, None, None, reported, None, why
    return (run, score, *interval(ours), reported, number(ours.mean - reported),
            "yes" if ours.low <= reported <= ours.high else "no")
