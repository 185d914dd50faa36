"""A row for each run that differs from another in nothing but the share of the data that it was
given, and its seeds; smaller shares first; by the score that the study goes by. A series is named
by what it changes besides."""

import json

from unfreeze import words
from unfreeze.judging.cells import interval
from unfreeze.judging.outcome import Outcome
from unfreeze.judging.runs import TrainedRun
from unfreeze.recipe import Knobs

HEADER = ("series", "init", "run", "fraction", "score", "low", "high")


def rows(outcome: Outcome) -> list[tuple]:
    alike: dict[str, list[TrainedRun]] = {}
    for run in outcome.finished:
        alike.setdefault(json.dumps(_besides(run.knobs), sort_keys=True), []).append(run)
    table = []
    for series in alike.values():
        if len({run.knobs["fraction"] for run in series}) > 1:
            name = words.settings(_besides(series[0].changes))
            for run in sorted(series, key=lambda run: run.knobs["fraction"]):
                table.append((name, run.knobs["init"], run.name, run.knobs["fraction"],
                              *interval(outcome.intervals[run.name].get(outcome.score))))
    return table


def _besides(knobs: Knobs) -> dict:
    return {knob: value for knob, value in knobs.items() if knob not in ("fraction", "seeds")}
