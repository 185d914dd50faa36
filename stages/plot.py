"""metrics/, plots/*.csv -> plots/*.svg, plots/mistakes.png, report.md and report.html."""

from pathlib import Path

import numpy as np
import pandas as pd

import _source  # noqa: F401
from unfreeze import files
from unfreeze.data import arrays
from unfreeze.errors import run_stage
from unfreeze.reporting import document, figures, html, report

PLOTS = Path("plots")
MISTAKES = 24
WORDS = ("run", "metric", "interval", "claim", "note", "comparison", "quantity", "unit", "verdict",
         "claim_verdict", "advice", "within", "split", "series", "init", "cost", "dominated",
         "scaled", "actual", "predicted", "part", "pair", "measure", "kind", "tensor", "shape")


def main() -> None:
    study = report.read(Path("."))
    by_seed = {run: list(scores["accuracy"]["seeds"].values())
               for run, scores in study.details.items() if run not in study.failed}
    pictures = {
        "accuracy.svg": figures.accuracy(table("accuracy"), by_seed),
        **{f"{name}.svg": getattr(figures, name)(table(name)) for name in (
            "claims", "fractions", "learning_curves", "movement", "pareto", "reliability",
            "wall_clock")},
        "confusion.svg": figures.confusion(table("confusion"), study.shown or ""),
        "similarity.svg": figures.similarity(table("similarity"), study.pairs),
        "mistakes.png": figures.mistakes(*most_confident_mistakes(study)),
    }
    for file, figure in pictures.items():
        figures.save(figure, PLOTS / file)

    title, sections = report.title(study), report.sections(study)
    files.write_text(Path("report.md"), document.markdown(title, sections))
    files.write_text(Path("report.html"),
                     html.page(title, sections, html.charts(PLOTS), PLOTS))


def table(name: str) -> pd.DataFrame:
    """plots/NAME.csv. A run or a class may be called `NA` or `1`, and is a text all the same."""
    path = PLOTS / f"{name}.csv"
    numbers = [column for column in pd.read_csv(path, nrows=0).columns if column not in WORDS]
    return pd.read_csv(path, dtype=dict.fromkeys(WORDS, str), keep_default_na=False,
                       na_values=dict.fromkeys(numbers, [""]))


def most_confident_mistakes(study: report.Study) -> tuple:
    """Of the shown run's first seed: images, true classes, predicted ones, confidences, the run."""
    run = study.shown
    if run is None:
        return np.empty((0, 1, 1, 3), np.uint8), [], [], [], ""
    settled = study.plan[run]
    with np.load(Path("runs") / run / "per_image.npz") as scores:
        predicted, confidence = scores["predicted"][0], scores["confidence"][0]
        labels, classes = scores["labels"], scores["classes"]
        subset = settled["subsets"][int(scores["seeds"][0])]
    wrong = np.flatnonzero(predicted != labels)
    chosen = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    indices = np.array(files.read_json(Path("subsets") / subset)["test"])[chosen]
    images = arrays.load(Path("data") / settled["dataset"]).test_images[indices]
    return (images, classes[labels[chosen]].tolist(), classes[predicted[chosen]].tolist(),
            confidence[chosen].tolist(), run)


if __name__ == "__main__":
    run_stage(main)
