"""A row for each searched run: what was chosen, of how many candidates that were tried, by which
score; the best and the worst score of those that got as far as it (`diverged` of them have none).

`edges` are sentences about choices at the end of what was tried; `seeds` and `folds` those of the
trials; `chosen` is empty where all diverged."""

from unfreeze import words
from unfreeze.choosing.searched import Searched
from unfreeze.judging.cells import number
from unfreeze.judging.outcome import Outcome
from unfreeze.judging.tables.search import state
from unfreeze.scoring.scores import SCORES

HEADER = ("run", "chosen", "tried", "listed", "stopped", "diverged", "quantity", "text", "unit",
          "better", "score", "worst", "accuracy", "seeds", "folds", "trials", "operations", "edges")


def rows(outcome: Outcome) -> list[tuple]:
    return [_row(run.name, run.searched) for run in outcome.runs.values() if run.searched.searched]


def _row(run: str, searched: Searched) -> tuple:
    score = SCORES[searched.choose_by]
    tried = [searched.candidates[place]
             for place in sorted({trial.candidate for trial in searched.trials})]
    states = [state(candidate) for candidate in tried]
    comparable = [candidate.score for candidate in tried if state(candidate) == "tried"]
    worst = min if score.better == "higher" else max
    chosen = None if searched.chosen is None else searched.candidates[searched.chosen]
    return (run, words.settings(chosen.values) if chosen else None, len(tried),
            len(searched.candidates), states.count("stopped"), states.count("diverged"),
            searched.choose_by, score.text, score.unit, score.better,
            number(chosen.score) if chosen else None,
            number(worst(comparable)) if comparable else None,
            number(chosen.accuracy) if chosen else None,
            len({trial.seed for trial in searched.trials}),
            len({trial.fold for trial in searched.trials}), len(searched.trials),
            searched.operations, "; ".join(searched.edges))
