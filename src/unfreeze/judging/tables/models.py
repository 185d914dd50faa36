"""A row a model that `rank` lists, best first: what it is, what its features say of it, as of
unfreeze.ranking, and the mean test score of the run that fine-tuned it, among those runs that
differ in the model alone."""

from unfreeze.judging.cells import number
from unfreeze.judging.outcome import Outcome
from unfreeze.judging.runs import TrainedRun
from unfreeze.plain import to_plain
from unfreeze.ranking import table

_TRAINED = ("run", "score", "low", "high")
HEADER = (*table.HEADER, *_TRAINED)


def rows(outcome: Outcome) -> list[tuple]:
    trained = _trained(outcome) if outcome.ranked else {}
    return [(*(row[column] or None for column in table.HEADER),
             *_score(outcome, trained.get(row["model"]))) for row in outcome.ranked]


def _score(outcome: Outcome, run: TrainedRun | None) -> tuple:
    if run is None:
        return (None,) * len(_TRAINED)
    effect = outcome.intervals[run.name][outcome.score]
    return run.name, number(effect.mean), number(effect.low), number(effect.high)


def _trained(outcome: Outcome) -> dict[str, TrainedRun]:
    """{ranked model: the run that fine-tuned it} of the most that differ in nothing else."""
    groups: dict[str, dict[str, TrainedRun]] = {}
    weights = {(run.knobs["model"], run.weights): name for name, run in outcome.plan.rank.items()}
    for run in outcome.finished:
        planned = outcome.plan.runs[run.name]
        model = weights.get((run.knobs["model"], planned.weights))
        if model and planned.trains and "model" not in run.knobs["search"] and (
                outcome.score in run.metrics):
            others = {key: value for key, value in run.knobs.items()
                      if key not in ("model", "init")}
            groups.setdefault(repr(to_plain(others)), {}).setdefault(model, run)
    return max(groups.values(), key=len, default={})
