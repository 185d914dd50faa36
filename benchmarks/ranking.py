"""How well the scores of `rank` foretell the order in which fine-tuning puts models.

Studies whose runs differ in the model alone, and whose `rank` lists the same models, are read as
`dvc repro` left them; what is gathered is kept as benchmarks/ranking.json.

    tau      rank correlation (Kendall) with fine-tuning, mean over datasets, and its 95 % interval
             over models and datasets
    loss     points that the model that the score puts first has less than the best one, mean over
             datasets; and the better one of the two that it puts first

Usage: python benchmarks/ranking.py [--add NAME=STUDY ...]
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from unfreeze import files  # noqa: E402
from unfreeze.ranking import order, table  # noqa: E402
from unfreeze.words import fixed  # noqa: E402

KEPT = Path(__file__).with_name("ranking.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--add", nargs="+", metavar="NAME=STUDY", default=[],
                        help="what a dataset is called, and the study's folder; in place of all "
                             "that is kept")
    added = dict(each.split("=", 1) for each in parser.parse_args().add)
    if not added and not KEPT.is_file():
        parser.error(f"nothing is kept in {KEPT} yet: name studies with --add")
    if added:
        kept = {name: gathered(Path(folder)) for name, folder in added.items()}
        if len({tuple(each["models"]) for each in kept.values()}) > 1:
            parser.error("these studies were trained with different models: " + "; ".join(
                f"{name}: {', '.join(each['models'])}" for name, each in kept.items())
                + "; name studies whose runs have the same")
        files.write_json(KEPT, kept)
    for row in rows(json.loads(KEPT.read_text())):
        print("  ".join(row))


def gathered(study: Path) -> dict:
    """{"images", "image_size", "models": {model: its scores, and its test score with each seed}}"""
    rows = files.read_csv(study / "plots/tables/models.csv")
    seeds = {row["run"]: [float(score) for score in row["seeds"].split()]
             for row in files.read_csv(study / "plots/tables/ranking.csv")}
    models = {row["model"]: {
        **{name: float(row[name]) if row[name] else None for name in table.SCORES},
        "fine_tuned": seeds[row["run"]]} for row in rows if row["run"]}
    return {"images": int(rows[0]["images"]), "image_size": int(rows[0]["image_size"]),
            "models": dict(sorted(models.items()))}


def rows(kept: dict) -> list[list[str]]:
    """Titles; a row for each score; and one for what another seed foretells."""
    names = sorted(next(iter(kept.values()))["models"])

    def of_all(value: Callable[[dict], float | None]) -> np.ndarray:
        return np.array([[value(each["models"][name]) for name in names]
                         for each in kept.values()], float)

    tuned = of_all(lambda model: np.mean(model["fine_tuned"]))
    made = [[title.removesuffix(" (%)"),
             *cells(of_all(lambda model, name=name: model[name]), tuned)]
            for name, (title, _) in table.SCORES.items()]
    seeds = [of_all(lambda model, seed=seed: model["fine_tuned"][seed]) for seed in (0, 1)]
    return [["score", "tau", "95 % interval", "loss (points)", "of two", *kept], *made,
            ["*fine-tuned with another seed*", *cells(*seeds)]]


def cells(found: np.ndarray, tuned: np.ndarray) -> list[str]:
    """Mean tau and its interval, the loss of the first and of the better of the first two, and tau
    on each dataset.

    Args:
        found, tuned: (D, M) scores, and what fine-tuning came to.
    """
    mean, low, high = order.mean_tau(found, tuned)
    best, first = tuned.max(1), np.argsort(-found, axis=1)
    losses = [(best - np.take_along_axis(tuned, first[:, :number], 1).max(1)).mean()
              for number in (1, 2)]
    return [fixed(mean, 2), f"{fixed(low, 2)} to {fixed(high, 2)}",
            *(fixed(loss, 1) for loss in losses),
            *(fixed(order.tau(*each), 2) for each in zip(found, tuned, strict=True))]


if __name__ == "__main__":
    main()
