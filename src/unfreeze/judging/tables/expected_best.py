"""A row for each searched run and each number of its candidates: the best score on validation to
expect of so many of them, had they been tried in a random order, and the operations to expect.

Dodge et al. 2019 (https://arxiv.org/abs/1909.03004) plot it, so that a strategy that is good at any
setting is told from one that had to be searched for long. The estimator is the unbiased one of Tang
et al. 2020 (https://arxiv.org/abs/2004.13705): the mean over all subsets of that size. A candidate
that diverged is worse than any other; as long as all of a subset may have diverged there is no row.
Runs whose candidates were stopped by halving have none: their scores are not of the same epochs."""

from unfreeze.choosing.searched import Searched
from unfreeze.judging.cells import number
from unfreeze.judging.expected import best_of
from unfreeze.judging.outcome import Outcome
from unfreeze.judging.tables.search import state
from unfreeze.scoring.scores import SCORES

HEADER = ("run", "quantity", "text", "unit", "better", "candidates", "expected", "operations")


def rows(outcome: Outcome) -> list[tuple]:
    return [row for run in outcome.runs.values() if run.searched.searched
            for row in _of_run(run.name, run.searched)]


def _of_run(run: str, searched: Searched) -> list[tuple]:
    score = SCORES[searched.choose_by]
    tried = {trial.candidate for trial in searched.trials}
    candidates = [searched.candidates[place] for place in sorted(tried)]
    if len(candidates) < 2 or any(state(candidate) == "stopped" for candidate in candidates):
        return []
    each = searched.operations / len(candidates)
    expected = best_of([candidate.score for candidate in candidates],
                       higher=score.better == "higher")
    return [(run, searched.choose_by, score.text, score.unit, score.better, some, number(value),
             round(some * each)) for some, value in enumerate(expected, start=1)
            if value is not None]
