"""A row for each run and score; a 95 % interval for the scores that have one."""

from unfreeze.judging.outcome import Outcome
from unfreeze.judging.statistics import Effect
from unfreeze.scoring.scores import SCORES

HEADER = ("run", "metric", "mean", "std", "low", "high", "n")


def rows(outcome: Outcome) -> list[tuple]:
    return [(run.name, name, score["mean"], score["std"],
             *_interval(name, outcome.intervals[run.name].get(name)), score["n"])
            for run in outcome.finished for name, score in run.means.items()]


def _interval(score: str, effect: Effect | None) -> tuple[float | None, float | None]:
    if effect is None or SCORES[score].biased:
        return None, None
    return round(effect.low, 4), round(effect.high, 4)
