"""runs/RUN/predictions.npz -> runs/RUN/scores/: metrics.json, confusion.csv, calibration.csv,
per_image.npz. Usage: evaluate.py RUN"""

import io
import sys

import numpy as np

import _source  # noqa: F401
from unfreeze import files, places
from unfreeze.scoring import calibration, metrics
from unfreeze.stage import run_stage


def main() -> None:
    (run,) = sys.argv[1:]
    folder = places.RUNS / run / "scores"
    with np.load(folder.parent / "predictions.npz", allow_pickle=False) as file:
        predictions = dict(file)
    scores, confusion, reliability, values = _score(**predictions)
    with files.whole_folder(folder) as new:
        files.write_json(new / "metrics.json", scores)
        files.write_csv(new / "confusion.csv", ("actual", "predicted", "images"), confusion)
        files.write_csv(new / "calibration.csv", calibration.HEADER, reliability)
        named = {key: predictions[key] for key in ("seeds", "labels", "classes")}
        per_image = io.BytesIO()
        np.savez(per_image, **named, **values)
        files.write_bytes(new / "per_image.npz", per_image.getvalue())


def _score(seeds: np.ndarray, classes: np.ndarray, logits: np.ndarray, labels: np.ndarray,
           validation_logits: np.ndarray | None = None,
           validation_labels: np.ndarray | None = None) -> tuple[dict, list, list, dict]:
    """The contents of the four files; of a failed run the reason, and nothing else."""
    seeds, classes = seeds.tolist(), classes.tolist()
    if validation_logits is None:
        validation_logits, validation_labels = logits[:, :0], np.empty((len(seeds), 0), int)
    why = metrics.failure(seeds, logits, validation_logits)
    if why:
        return {"failed": why, "test_images": len(labels)}, [], [], {}

    own = [metrics.per_image(replicate, labels) for replicate in logits]
    values = {name: np.stack([each[name] for each in own]) for name in own[0]}
    correct = values["accuracy"] > 0
    confidences = {"no": calibration.confidence(logits)}
    after = {}
    if validation_logits.shape[1]:
        temperatures = np.array([calibration.temperature(*each) for each in zip(
            validation_logits, validation_labels, strict=True)])
        confidences["yes"] = calibration.confidence(logits / temperatures[:, None, None])
        after = {"ece_scaled": np.stack([calibration.error_per_image(*each) for each in zip(
                     confidences["yes"], correct, strict=True)]),
                 "temperature": temperatures}
    confusion = metrics.confusion_matrix(logits, labels)
    return (
        metrics.score(values | after, confusion, seeds, classes),
        metrics.confusion_pairs(confusion, classes),
        [(seed, scaled, *row) for place, seed in enumerate(seeds)
         for scaled, confidence in confidences.items()
         for row in calibration.reliability(confidence[place], correct[place])],
        {"predicted": logits.argmax(axis=-1), "confidence": confidences["no"]} | values,
    )


if __name__ == "__main__":
    run_stage(main)
