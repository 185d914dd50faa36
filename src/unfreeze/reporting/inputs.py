"""What the pictures are drawn from: tables as data frames, and images with their predictions."""

from pathlib import Path

import numpy as np
import pandas as pd

from unfreeze import files, places
from unfreeze.data.reading import maps
from unfreeze.params.plan import base
from unfreeze.reporting.report import Study

MISTAKES = 24
WORDS = ("run", "metric", "interval", "claim", "note", "comparison", "quantity", "unit", "verdict",
         "claim_verdict", "advice", "why", "within", "split", "series", "init", "cost", "dominated",
         "scaled", "actual", "predicted", "part", "pair", "measure", "kind", "tensor", "shape")


def frame(path: Path) -> pd.DataFrame:
    """One of plots/tables/. A run or a class may be called `NA` or `1`, and is a text all the same;
    numbers that are left out or undefined are NaN."""
    numbers = pd.read_csv(path, nrows=0).columns.difference(WORDS)
    return pd.read_csv(path, dtype=dict.fromkeys(WORDS, str), keep_default_na=False,
                       na_values=dict.fromkeys(numbers, ["", "nan"]))


def mistakes(study: Study, root: Path, most: int = MISTAKES) -> tuple[
        np.ndarray | None, list[str], list[str], list[float], str]:
    """The most confident mistakes of the shown run's first seed, most confident first: images
    (K, H, W, 3) uint8, their true classes, those predicted, confidences from 0 to 1, and the run.
    None in the place of the images of a run that failed.

    Args:
        root: the study's folder, with runs/, subsets/, data/ and arrays/.
    """
    run = study.shown
    if run is None:
        return None, [], [], [], base(study.plan)
    settled = study.plan[run]
    with np.load(root / places.RUNS / run / "scores/per_image.npz") as scores:
        seed, labels, classes = int(scores["seeds"][0]), scores["labels"], scores["classes"]
        predicted, confidence = scores["predicted"][0], scores["confidence"][0]
    wrong = np.flatnonzero(predicted != labels)
    chosen = wrong[np.argsort(-confidence[wrong], kind="stable")][:most]
    subset = files.read_json(root / places.SUBSETS / settled["subsets"][seed])
    images = maps.images(settled, root)["test"]
    return (images[np.array(subset["test"], dtype=int)[chosen]], classes[labels[chosen]].tolist(),
            classes[predicted[chosen]].tolist(), confidence[chosen].tolist(), run)
