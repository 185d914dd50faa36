"""A row for each run that differs from another in nothing but the share of the data that it was
given, and its seeds; smaller shares first. A series is named by what it changes besides."""

import json

from unfreeze import words
from unfreeze.judging.outcome import Outcome
from unfreeze.judging.runs import TrainedRun
from unfreeze.recipe import Knobs

HEADER = ("series", "init", "run", "fraction", "accuracy", "low", "high")


def rows(outcome: Outcome) -> list[tuple]:
    alike: dict[str, list[TrainedRun]] = {}
    for run in outcome.finished:
        alike.setdefault(json.dumps(_besides(run.knobs), sort_keys=True), []).append(run)
    table = []
    for series in alike.values():
        if len({run.knobs["fraction"] for run in series}) > 1:
            name = words.settings(_besides(series[0].changes))
            for run in sorted(series, key=lambda run: run.knobs["fraction"]):
                effect = outcome.intervals[run.name]["accuracy"]
                table.append((name, run.knobs["init"], run.name, run.knobs["fraction"],
                              round(effect.mean, 4), round(effect.low, 4), round(effect.high, 4)))
    return table


def _besides(knobs: Knobs) -> dict:
    return {knob: value for knob, value in knobs.items() if knob not in ("fraction", "seeds")}
