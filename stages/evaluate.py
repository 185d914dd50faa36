"""_made/runs/RUN/predictions.npz -> _made/runs/RUN/scores/: metrics.json, confusion.csv,
calibration.csv, per_image.npz. Usage: evaluate.py RUN"""

import io
import sys

import numpy as np

import _source  # noqa: F401
import _utf8  # noqa: F401
from unfreeze import files, places
from unfreeze.scoring import calibration, evaluation
from unfreeze.stage import run_stage

OF_PREDICTIONS = ("seeds", "classes", "labels", "logits", "validation_logits", "validation_labels",
                  "temperature", "failed")


def main() -> None:
    (run,) = sys.argv[1:]
    predictions = files.read_arrays(places.RUNS / run / "predictions.npz", OF_PREDICTIONS)
    scored = evaluation.evaluate(**predictions | {
        key: predictions[key].tolist() for key in ("seeds", "classes", "temperature", "failed")})
    per_image = io.BytesIO()
    np.savez(per_image, **{key: predictions[key] for key in ("seeds", "labels", "classes")},
             **scored.per_image)
    with files.whole_folder(places.RUNS / run / "scores") as folder:
        files.write_json(folder / "metrics.json", scored.metrics)
        files.write_csv(folder / "confusion.csv", evaluation.CONFUSION, scored.confusion)
        files.write_csv(folder / "calibration.csv", calibration.HEADER, scored.calibration)
        files.write_bytes(folder / "per_image.npz", per_image.getvalue())


if __name__ == "__main__":
    run_stage(main)
