"""runs/RUN/predictions.npz -> runs/RUN/metrics.json, confusion.csv. Usage: evaluate.py RUN"""

import sys
from pathlib import Path

import numpy as np

import _source  # noqa: F401
from unfreeze import files
from unfreeze.errors import run_stage
from unfreeze.scoring import metrics


def main() -> None:
    (run,) = sys.argv[1:]
    folder = Path("runs") / run
    with np.load(folder / "predictions.npz", allow_pickle=False) as predictions:
        logits, labels = predictions["logits"], predictions["labels"]
        seeds, classes = predictions["seeds"].tolist(), predictions["classes"].tolist()
    confusion = sum(metrics.confusion_matrix(replicate, labels) for replicate in logits)
    files.write_json(folder / "metrics.json", metrics.score(logits, labels, seeds, classes))
    files.write_csv(folder / "confusion.csv", ("actual", "predicted", "images"), (
        (actual, predicted, confusion[row, column])
        for row, actual in enumerate(classes) for column, predicted in enumerate(classes)))


if __name__ == "__main__":
    run_stage(main)
