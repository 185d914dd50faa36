"""The choice among a run's candidates, and what it leaves.

    recipes/RUN.yaml   of the chosen candidate, with what only validation could tell
    choices/RUN.yaml   tracked: what was chosen of what, by which scores; {} without a search
    _made/searched/    the same for tables, with what was measured (searched.py)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from unfreeze import files, places, words
from unfreeze import recipe as recipes
from unfreeze.choosing import edges, searched
from unfreeze.choosing.pinned import Pinned
from unfreeze.choosing.scores import Outcome, Scored, ranking, scored
from unfreeze.choosing.trials import Outcomes, Trial
from unfreeze.recipe import Chosen, Recipe
from unfreeze.scoring import calibration
from unfreeze.scoring.scores import SCORES


@dataclass(frozen=True)
class Choice:
    """What a run becomes.

    Attributes:
        recipe: to be trained and tested.
        searched: what was found. validation: what the chosen trials said.
    """

    recipe: Recipe
    searched: searched.Searched
    validation: searched.Validation


def without_search(pinned: Pinned) -> Choice:
    """Of a run that searches nothing."""
    (candidate,) = pinned.candidates
    return Choice(candidate.recipe, searched.NOTHING,
                  searched.nothing(len(candidate.recipe.classes)))


def choose(pinned: Pinned, outcomes: Outcomes) -> Choice:
    """Of a run whose trials are all there.

    Args:
        outcomes: of `trials.search`.
    """
    full = {trial: outcome for trial, outcome in outcomes.items() if trial.divisor == 1}
    by_place = _by_place(full)
    best = ranking(pinned, by_place)[0]
    found = scored(by_place[best], pinned.choose_by)
    recipe = pinned.candidates[best].recipe
    if found.score is None:
        nothing = _searched(pinned, outcomes, None)
        failed = f"{_all_diverged(nothing)}; search lower learning rates"
        return Choice(replace(recipe, chosen=Chosen(None, None, failed)), nothing,
                      searched.nothing(len(recipe.classes)))
    if recipe.knobs["train_on"] == "all":
        recipe = replace(recipe, chosen=Chosen(_stop_after(recipe, by_place[best]),
                                               _known(found.temperature)))
    chosen = [trial for trial in full if trial.candidate == best]
    return Choice(recipe, _searched(pinned, outcomes, best),
                  _validation(chosen, by_place[best], found.temperature))


def write(run: str, choice: Choice) -> None:
    """All files of a run's choice."""
    recipe, why = places.RECIPES / f"{run}.yaml", places.CHOICES / f"{run}.yaml"
    for file in (recipe, why):  # in folders that people see, of which one is a dependency
        files.remove_unfinished(file)
    recipes.write(recipe, choice.recipe)
    files.write_yaml(why, _lines(choice.searched))
    searched.write(run, choice.searched, choice.validation)


def say(run: str, found: searched.Searched) -> str:
    """A choice in a line or more, for the terminal."""
    if not found.searched:
        return f"{run}: nothing to choose"
    tried = len({trial.candidate for trial in found.trials})
    if found.chosen is None:
        return f"{run}: {_all_diverged(found)}; it is marked failed"
    best = found.candidates[found.chosen]
    unit = SCORES[found.choose_by].unit
    lines = [f"{run}: {words.settings(best.values)}, of {words.count(tried, 'candidate')} "
             f"({found.choose_by} {words.quantity(best.score, unit)} on validation)"]
    return "\n".join(lines + [f"{run}: at the edge: {sentence}" for sentence in found.edges])


def _all_diverged(found: searched.Searched) -> str:
    tried = {trial.candidate for trial in found.trials}
    left = sum(candidate.trained_fully for candidate in found.candidates)
    if any(found.candidates[place].score is not None for place in tried):
        return (f"of the {words.count(len(tried), 'candidate')} of its search, the {left} that "
                "halving left diverged")
    return f"all {words.count(len(tried), 'candidate')} of its search diverged"


def _by_place(outcomes: Outcomes) -> dict[int, list[Outcome]]:
    by_place: dict[int, list[Outcome]] = {}
    for trial, outcome in outcomes.items():
        by_place.setdefault(trial.candidate, []).append(outcome)
    return by_place


def _stop_after(recipe: Recipe, outcomes: Sequence[Outcome]) -> int | None:
    """Where validation decided when the trials ended, the median of when; it moves less than the
    mean where one trial went its own way."""
    if recipe.knobs["select"] == "last" and not recipe.knobs["patience"]:
        return None
    return max(1, int(median(outcome.kept_epoch for outcome in outcomes) + 0.5))


def _known(temperature: float) -> float | None:
    """A temperature to hand on; None at the ends of what is searched, which says that there is
    none: of a model that was right on all of its validation images."""
    low, high = calibration.TEMPERATURES
    return temperature if low < temperature < high else None


def _searched(pinned: Pinned, outcomes: Outcomes, chosen: int | None) -> searched.Searched:
    rungs: dict[tuple[int, int], Scored] = {}
    for place, divisor in {(trial.candidate, trial.divisor): None for trial in outcomes}:
        rungs[place, divisor] = scored(
            [outcome for trial, outcome in outcomes.items()
             if (trial.candidate, trial.divisor) == (place, divisor)], pinned.choose_by)
    seen: dict[tuple[int, int], int] = {}
    trained = []
    for trial, outcome in outcomes.items():
        key = trial.candidate, trial.divisor
        number = seen[key] = seen.get(key, -1) + 1
        score, accuracy = rungs[key].by_trial[number]
        trained.append(searched.Trial(
            trial.candidate, trial.seed, trial.fold, trial.epochs, score, accuracy,
            outcome.kept_epoch, trial.operations, outcome.seconds))
    candidates = []
    for place, candidate in enumerate(pinned.candidates):
        divisors = [divisor for of, divisor in rungs if of == place]
        last = rungs[place, min(divisors)] if divisors else None
        candidates.append(searched.Candidate(
            candidate.values, last and last.score, last and last.accuracy, 1 in divisors))
    tried = [candidate.values for place, candidate in enumerate(pinned.candidates)
             if any(of == place for of, _ in rungs)]
    return searched.Searched(
        pinned.choose_by, SCORES[pinned.choose_by].better, chosen, tuple(candidates),
        tuple(trained), () if chosen is None else tuple(
            edges.at_edge(pinned.candidates[chosen].values, tried, pinned.drawn_from)))


def _validation(trials: Sequence[Trial], outcomes: Sequence[Outcome],
                temperature: float) -> searched.Validation:
    sizes = [len(outcome.labels) for outcome in outcomes]
    return searched.Validation(
        seed=np.repeat([trial.seed for trial in trials], sizes).astype(np.int64),
        fold=np.repeat([trial.fold for trial in trials], sizes).astype(np.int64),
        image=np.concatenate([trial.validation for trial in trials]
                             ).astype(np.int64),
        label=np.concatenate([outcome.labels for outcome in outcomes]),
        logits=np.concatenate([outcome.logits for outcome in outcomes]),
        temperature=temperature)


def _lines(found: searched.Searched) -> dict[str, Any]:
    """choices/RUN.yaml: what a reader of `git diff` wants to see, and nothing measured."""
    if not found.searched:
        return {}
    epochs = {trial.candidate: trial.epochs for trial in found.trials}  # the last rung's
    rows = []
    for place, candidate in enumerate(found.candidates):
        row: dict[str, Any] = {"values": dict(candidate.values)}
        if place not in epochs:
            row["tried"] = False
        else:
            row |= {found.choose_by: "diverged" if candidate.score is None else candidate.score}
            if found.choose_by != "accuracy" and candidate.accuracy is not None:
                row["accuracy"] = candidate.accuracy
            if not candidate.trained_fully:
                row["stopped_after_epochs"] = epochs[place]
        rows.append(row)
    lines = {"chosen": ("nothing: all trained in full diverged" if found.chosen is None else
                        dict(found.values)),
             "of": len(epochs), "by": found.choose_by, "candidates": rows}
    return lines | ({"at_the_edge": list(found.edges)} if found.edges else {})
