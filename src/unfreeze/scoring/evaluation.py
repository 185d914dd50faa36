"""A run's test predictions as scores: what the stage evaluate writes.

Shapes: R replicates, N test images, V validation images, C classes; logits (R, N, C).
"""

import math
from dataclasses import dataclass

import numpy as np

from unfreeze.scoring import calibration, confusion
from unfreeze.scoring.predictions import Predictions, softmax
from unfreeze.scoring.scores import per_image

DECIMALS = 4
CONFUSION = ("actual", "predicted", "images")


@dataclass(frozen=True)
class Evaluation:
    """What there is to say of a run's predictions; of a run that cannot be scored, the reason.

    Attributes:
        metrics: of `summary`; or {"failed": why, "test_images": N}.
        confusion: rows under CONFUSION, counts over all replicates.
        calibration: rows under calibration.HEADER, before ("no") and after ("yes") scaling the
            logits by a temperature, where one is known.
        per_image: {"predicted": the class, "confidence": its probability, each score: its value
            for each image}, (R, N).
    """

    metrics: dict
    confusion: list[tuple]
    calibration: list[tuple]
    per_image: dict[str, np.ndarray]


def evaluate(seeds: list[int], classes: list[str], logits: np.ndarray, labels: np.ndarray,
             validation_logits: np.ndarray, validation_labels: np.ndarray,
             temperature: float = math.nan, failed: str = "") -> Evaluation:
    """Score predictions.

    Args:
        seeds: R of them. classes: C names.
        logits: (R, N, C). labels: (N,).
        validation_logits: (R, V, C), V perhaps 0. validation_labels: (R, V).
        temperature: that trials of a search found. It stands in where there are no validation
            images on which each replicate's own can be fitted; NaN: they found none.
        failed: why nothing was trained; "" where something was.
    """
    why = failed or failure(seeds, logits, validation_logits)
    if why:
        return Evaluation({"failed": why, "test_images": len(labels)}, [], [], {})

    replicates = [Predictions(replicate, labels) for replicate in logits]
    values = [per_image(predictions) for predictions in replicates]
    scores = {name: np.stack([replicate[name] for replicate in values]) for name in values[0]}
    correct = np.stack([predictions.correct for predictions in replicates])
    confidence = np.stack([predictions.confidence for predictions in replicates])
    confidences, after_scaling = {"no": confidence}, {}
    temperatures = temperatures_of(validation_logits, validation_labels, temperature)
    if temperatures is not None:
        scaled = softmax(logits / temperatures[:, None, None]).max(axis=-1)
        confidences["yes"] = scaled
        after_scaling = {
            "ece_scaled": np.stack([calibration.error_per_image(*replicate)
                                    for replicate in zip(scaled, correct, strict=True)]),
            "temperature": temperatures}
    counts = confusion.matrix(logits, labels)
    return Evaluation(
        metrics=summary(scores | after_scaling, counts, seeds, classes),
        confusion=confusion.pairs(counts, classes),
        calibration=[(seed, scaled, *row) for replicate, seed in enumerate(seeds)
                     for scaled, shares in confidences.items()
                     for row in calibration.reliability(shares[replicate], correct[replicate])],
        per_image={"predicted": logits.argmax(axis=-1), "confidence": confidence} | scores)


def temperatures_of(validation_logits: np.ndarray, validation_labels: np.ndarray,
                    otherwise: float) -> np.ndarray | None:
    """(R,), what the logits of each replicate are divided by to be probabilities; None where
    nothing tells them. The arguments are those of `evaluate`."""
    if validation_logits.shape[1]:
        return np.array([calibration.temperature(*replicate) for replicate in zip(
            validation_logits, validation_labels, strict=True)])
    return None if math.isnan(otherwise) else np.full(len(validation_logits), otherwise)


def failure(seeds: list[int], *logits: np.ndarray) -> str | None:
    """Why a run cannot be scored, None if it can: arrays (R, ..., C) with NaN or infinity."""
    bad = [str(seed) for replicate, seed in enumerate(seeds)
           if not all(np.isfinite(array[replicate]).all() for array in logits)]
    if not bad:
        return None
    return (f"the logits of {'seeds' if len(bad) > 1 else 'seed'} {', '.join(bad)} are not finite: "
            "training diverged")


def summary(values: dict[str, np.ndarray], counts: np.ndarray, seeds: list[int],
            classes: list[str]) -> dict:
    """All scores of a run, rounded to 4 decimals, so that a repetition gives the same text.

    Args:
        values: {name: (R, N) whose mean over images is the score, or (R,) the score itself}.
        counts: confusion matrix over all replicates.

    Returns:
        Each of `values` as spread over seeds and the value of each seed; "per_class": {class:
        {"precision", "recall", "f1", "images"}} and "confused": [[actual, predicted, percent], ...]
        of the predictions of all seeds together; "test_images": N.
    """
    scores = {}
    for name, array in values.items():
        means = array.reshape(len(seeds), -1).mean(axis=1)
        by_seed = {str(seed): _rounded(mean) for seed, mean in zip(seeds, means, strict=True)}
        scores[name] = spread(means) | {"seeds": by_seed}
    images = counts.sum(axis=1) // len(seeds)
    return scores | {
        "per_class": {
            name: {key: value if value is None else _rounded(value)
                   for key, value in of_class.items()} | {"images": int(count)}
            for name, of_class, count in zip(classes, confusion.per_class(counts), images,
                                             strict=True)},
        "confused": [[classes[actual], classes[predicted], _rounded(percent)]
                     for actual, predicted, percent in confusion.likeliest_mistakes(counts)],
        "test_images": int(images.sum()),
    }


def spread(values: list[float]) -> dict:
    """Mean, standard deviation (n - 1; None for one value) and number of values, rounded."""
    return {
        "mean": _rounded(np.mean(values)),
        "std": _rounded(np.std(values, ddof=1)) if len(values) > 1 else None,
        "n": len(values),
    }


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS) + 0.0  # no -0.0
