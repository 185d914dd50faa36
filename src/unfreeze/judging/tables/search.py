"""A row for each searched run and each of its candidates that was tried, in the order in which they
were: its score on validation (mean, lowest and highest over its trials with the most epochs; empty
where one diverged), and whether it was chosen.

`others` are the searched knobs but the learning rate, `epochs` those of these trials, `operations`
those of all of its trials. `state` is "tried", "diverged", or "stopped" (by halving, before all of
its epochs)."""

from unfreeze import words
from unfreeze.choosing.searched import Candidate, Searched, Trial
from unfreeze.judging.cells import number, yes
from unfreeze.judging.outcome import Outcome
from unfreeze.scoring.scores import SCORES

HEADER = ("run", "candidate", "values", "lr", "others", "quantity", "text", "unit", "better",
          "score", "lowest", "highest", "accuracy", "epochs", "trials", "operations", "chosen",
          "state")


def rows(outcome: Outcome) -> list[tuple]:
    return [row for run in outcome.runs.values() if run.searched.searched
            for row in _of_run(run.name, run.searched)]


def _of_run(run: str, searched: Searched) -> list[tuple]:
    score = SCORES[searched.choose_by]
    table = []
    for place, candidate in enumerate(searched.candidates):
        trials = [trial for trial in searched.trials if trial.candidate == place]
        if not trials:
            continue
        most = [trial for trial in trials if trial.epochs == max(each.epochs for each in trials)]
        others = {knob: value for knob, value in candidate.values.items() if knob != "lr"}
        table.append((
            run, place + 1, words.settings(candidate.values), candidate.values.get("lr"),
            words.settings(others) if others else "", searched.choose_by, score.text, score.unit,
            score.better, number(candidate.score), *_ends(candidate, most),
            number(candidate.accuracy), most[0].epochs, len(trials),
            sum(trial.operations for trial in trials), yes(place == searched.chosen),
            state(candidate)))
    return table


def _ends(candidate: Candidate, trials: list[Trial]) -> tuple[float | int | None, ...]:
    if candidate.score is None:
        return None, None
    scores = [trial.score for trial in trials]
    return number(min(scores)), number(max(scores))


def state(candidate: Candidate) -> str:
    """Of a candidate that was tried."""
    if candidate.score is None:
        return "diverged"
    return "tried" if candidate.trained_fully else "stopped"
