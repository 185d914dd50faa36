"""plots/*.csv, metrics/ -> plots/*.svg and report.md."""

from pathlib import Path

import pandas as pd

import _source  # noqa: F401
from unfreeze import files
from unfreeze.errors import run_stage
from unfreeze.reporting import figures, report, tables

PLOTS = Path("plots")


def main() -> None:
    plan = files.read_yaml(Path("plan/runs.yaml"))
    metrics = {run: files.read_json(Path("metrics/details") / f"{run}.json") for run in plan}
    seeds = {run: list(own["accuracy"]["seeds"].values()) for run, own in metrics.items()}
    costs = {row["run"]: row for row in files.read_csv(PLOTS / "costs.csv")}
    base = tables.base(plan)
    pairs = files.read_yaml(tables.PAIRS)
    similarity = pd.read_csv(PLOTS / "similarity.csv", dtype={"pair": str, "run": str})

    for name, figure in {
        "accuracy": figures.accuracy(pd.read_csv(PLOTS / "accuracy.csv"), seeds),
        "learning_curves": figures.learning_curves(pd.read_csv(PLOTS / "learning_curves.csv")),
        "confusion": figures.confusion(pd.read_csv(PLOTS / "confusion.csv"), base),
        "parameters": figures.parameters(pd.read_csv(PLOTS / "costs.csv")),
        "similarity": figures.similarity(similarity, pairs),
    }.items():
        figures.save(figure, PLOTS / f"{name}.svg")
    files.write_text(Path("report.md"), report.markdown(
        plan, metrics, costs, report.similarity(similarity, pairs)))


if __name__ == "__main__":
    run_stage(main)
