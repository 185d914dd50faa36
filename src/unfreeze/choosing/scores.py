"""What trials say of their candidate: by validation images alone.

By default a choice goes by cross-entropy after temperature scaling: of 100 validation images it
chooses about as well as accuracy does of several hundred, and without scaling it would favour
training too little, since a model grows overconfident before it gets worse. A candidate's
temperature is fitted on the validation images of all its trials together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unfreeze.choosing.pinned import Candidate, Pinned
from unfreeze.scoring import calibration
from unfreeze.scoring.predictions import Predictions
from unfreeze.scoring.scores import SCORES

DECIMALS = 4  # to which scores and temperatures are rounded, so that a repetition chooses the same
SCALED = "cross_entropy"  # of the scores the one that is taken after scaling


@dataclass(frozen=True)
class Outcome:
    """What a trial came to, of V validation images in C classes.

    Attributes:
        logits: (V, C) float32; not finite where it diverged. labels: (V,) int64.
        kept_epoch: the one whose weights the trial has, from 1, counted over all phases as planned.
        seconds: of training; of processor time on a CPU.
    """

    logits: np.ndarray
    labels: np.ndarray
    kept_epoch: int
    seconds: float

    @property
    def diverged(self) -> bool:
        return not np.isfinite(self.logits).all()


@dataclass(frozen=True)
class Scored:
    """A candidate by its trials.

    Attributes:
        score: mean over the trials; None where one diverged.
        accuracy: mean over the trials, in percent; None where one diverged.
        temperature: of the candidate.
        by_trial: (score, accuracy) of each trial, (None, None) where it diverged.
    """

    score: float | None
    accuracy: float | None
    temperature: float
    by_trial: tuple[tuple[float | None, float | None], ...]


def scored(outcomes: Sequence[Outcome], choose_by: str) -> Scored:
    """A candidate by what its trials came to.

    Args:
        outcomes: at least one. choose_by: a name of SCORES.
    """
    sound = [outcome for outcome in outcomes if not outcome.diverged]
    temperature = 1.0
    if len(sound) == len(outcomes):
        temperature = round(calibration.temperature(
            np.concatenate([outcome.logits for outcome in outcomes]),
            np.concatenate([outcome.labels for outcome in outcomes])), DECIMALS)
    by_trial = tuple((None, None) if outcome.diverged else (
        _score(outcome, choose_by, temperature), _score(outcome, "accuracy", temperature))
        for outcome in outcomes)
    score, accuracy = (
        None if len(sound) < len(outcomes) else round(float(np.mean(values)), DECIMALS)
        for values in zip(*by_trial, strict=True))
    return Scored(score, accuracy, temperature, by_trial)


def _score(outcome: Outcome, name: str, temperature: float) -> float:
    logits = outcome.logits / temperature if name == SCALED else outcome.logits
    per_image = SCORES[name].per_image(Predictions(logits, outcome.labels))
    return round(float(per_image.mean()), DECIMALS)


def ranking(pinned: Pinned, outcomes: Mapping[int, Sequence[Outcome]]) -> list[int]:
    """The places of candidates, best first: by score, where that is the same the cheaper, then the
    one with the lower learning rate, then the one that stands first. What diverged comes last.

    Args:
        outcomes: {place of a candidate: what its trials came to}.
    """
    sign = -1 if SCORES[pinned.choose_by].better == "higher" else 1

    def key(place: int) -> tuple:
        candidate = pinned.candidates[place]
        score = scored(outcomes[place], pinned.choose_by).score
        return (score is None, sign * (score or 0), candidate.operations, _rate(candidate), place)

    return sorted(outcomes, key=key)


def _rate(candidate: Candidate) -> float:
    return max(phase.knobs["lr"] for phase in candidate.recipe.phases)
