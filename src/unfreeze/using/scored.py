"""How well pictures are named whose classes are known, with 95 % intervals over the pictures."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unfreeze.judging import statistics
from unfreeze.judging.statistics import Contrast, Effect, Scores
from unfreeze.scoring.predictions import Predictions
from unfreeze.scoring.scores import SCORES, per_image
from unfreeze.using.predict import Predicted
from unfreeze.words import interval, quantity

_LEAST = 1e-300  # a probability whose logarithm is finite
_ONE = "model"


@dataclass(frozen=True)
class Scored:
    """Attributes:
        images: how many pictures have a known class.
        effects: {score: its value and interval}.
    """

    images: int
    effects: Mapping[str, Effect]


def scores(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Effect]:
    """{score: its value and its 95 % interval over the images, that of these very models}.

    Args:
        probabilities: (N, C), of sum 1. labels: (N,), N at least 1.
    """
    values = _per_image(probabilities, labels)
    contrasts = [Contrast(Scores({_ONE: each[None]}, {_ONE: [0]}), {_ONE: 1.0},
                          bounds=SCORES[name].bounds) for name, each in values.items()]
    return {name: sample.effect for name, sample in
            zip(values, statistics.samples(contrasts), strict=True)}


def lost(before: np.ndarray, after: np.ndarray, labels: np.ndarray) -> Effect:
    """Points of accuracy that one model has less than another on the same images.

    Args:
        before, after: (N, C) probabilities. labels: (N,).
    """
    values = {name: _per_image(each, labels)["accuracy"][None]
              for name, each in (("before", before), ("after", after))}
    both = Scores(values, {name: [0] for name in values})
    (sample,) = statistics.samples([Contrast(both, {"before": 1.0, "after": -1.0},
                                             bounds=(-100.0, 100.0), paired_hits=True)])
    return sample.effect


def _per_image(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    # Logits whose softmax they are.
    return per_image(Predictions(np.log(np.maximum(probabilities, _LEAST)), labels))


def scored(predicted: Predicted) -> Scored | None:
    """The scores of the pictures whose class is known; None where no folder says one."""
    known = [row for row, picture in enumerate(predicted.pictures) if picture.label is not None]
    if not known:
        return None
    labels = np.array([predicted.pictures[row].label for row in known])
    return Scored(len(known), scores(predicted.probabilities[known], labels))


def lines(found: Scored, total: int) -> list[str]:
    """What to print of it.

    Args:
        total: how many pictures there are.
    """
    of = f"{found.images:,}" if found.images == total else f"{found.images:,} of {total:,}"
    width = max(len(SCORES[name].text) for name in found.effects)
    return [f"{of} pictures lie in folders named as classes. On them, with 95 % intervals:"] + [
        f"  {SCORES[name].text:{width}}  {worded(name, effect)}"
        for name, effect in found.effects.items()]


def worded(name: str, effect: Effect) -> str:
    """`81.3 % (72.0 to 88.0)`."""
    score = SCORES[name]
    text = quantity(effect.mean, score.unit)
    return text if score.biased else f"{text} ({interval(effect.low, effect.high, score.unit)})"
