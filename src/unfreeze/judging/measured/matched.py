"""A row for each run with validation images: its validation accuracy after as many seconds of
training as every other run; means over seeds.

    seconds_matched       the budget's, or those in which the fastest run finished all its epochs
    set_by                that run; empty for the budget
    accuracy_in_seconds   at the end of the last epoch within them, and which epoch that is; both
    epochs_in_seconds     empty where not every seed had finished one
    epochs, seconds       of the whole training
"""

from unfreeze.judging.cells import mean
from unfreeze.judging.measured import wall_clock
from unfreeze.judging.outcome import Outcome

HEADER = ("run", "seconds_matched", "set_by", "accuracy_in_seconds", "epochs_in_seconds", "epochs",
          "seconds")

Curve = list[tuple[int, float, float]]  # (epoch, seconds, accuracy) of a seed, epoch by epoch


def rows(outcome: Outcome) -> list[tuple]:
    curves = _curves(outcome)
    if not curves:
        return []
    ends = {run: [curve[-1] for curve in seeds] for run, seeds in curves.items()}
    needed = {run: max(seconds for _, seconds, _ in end) for run, end in ends.items()}
    fastest = min(needed, key=lambda run: needed[run])
    limit = outcome.plan.budget.get("seconds")
    seconds, set_by = (needed[fastest], fastest) if limit is None else (limit, "")
    return [(run, seconds, set_by, *_within(seeds, seconds), mean([end[0] for end in ends[run]]),
             mean([end[1] for end in ends[run]]))
            for run, seeds in curves.items()]


def _curves(outcome: Outcome) -> dict[str, list[Curve]]:
    """{run: a curve for each seed}."""
    curves: dict[str, dict[str, Curve]] = {}
    for run, seed, epoch, seconds, accuracy in wall_clock.rows(outcome):
        curves.setdefault(run, {}).setdefault(seed, []).append((int(epoch), seconds, accuracy))
    return {run: list(seeds.values()) for run, seeds in curves.items()}


def _within(seeds: list[Curve], limit: float) -> tuple[float | None, float | None]:
    """Mean accuracy and epoch at the end of the last epoch within so many seconds; None where a
    seed has none, since the mean would be of the faster seeds alone."""
    ends = [[point for point in curve if point[1] <= limit][-1:] for curve in seeds]
    if not all(ends):
        return None, None
    return (mean([accuracy for ((_, _, accuracy),) in ends]),
            mean([epoch for ((epoch, _, _),) in ends]))
