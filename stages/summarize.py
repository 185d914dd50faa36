"""runs/ of the planned runs, compared/ of the planned pairs -> metrics/ and plots/*.csv."""

import shutil
from pathlib import Path

import _source  # noqa: F401
from unfreeze import files
from unfreeze.errors import run_stage
from unfreeze.reporting import tables

PLOTS = Path("plots")


def main() -> None:
    runs = tables.read_runs(Path("plan"), Path("runs"))
    pairs = files.read_yaml(tables.PAIRS)
    # What runs and pairs of an earlier params.yaml left behind would be part of this stage's
    # dependencies `runs` and `compared`, so that a clone, which lacks it, would never be up to
    # date. DVC's cache keeps it.
    for folder in Path("runs").iterdir():
        if folder.name not in {run.name for run in runs}:
            shutil.rmtree(folder)
    for file in set(tables.PAIRS.parent.glob("*.csv")) - set(map(tables.pair_file, pairs)):
        file.unlink()
    base = next(run for run in runs if run.name == tables.base(each.name for each in runs))
    with files.whole_folder(Path("metrics")) as folder:
        files.write_json(folder / "accuracy.json",
                         {run.name: run.metrics["accuracy"]["mean"] for run in runs})
        for run in runs:
            files.write_json(folder / "runs" / f"{run.name}.json", tables.run_metrics(run))
            files.write_json(folder / "details" / f"{run.name}.json", run.metrics)
    files.write_csv(PLOTS / "accuracy.csv", tables.ACCURACY, tables.accuracy_rows(runs))
    files.write_csv(PLOTS / "learning_curves.csv", tables.CURVES, tables.curve_rows(runs))
    files.write_csv(PLOTS / "confusion.csv", tables.CONFUSION, tables.confusion_rows(base))
    files.write_csv(PLOTS / "costs.csv", tables.COSTS, tables.cost_rows(runs))
    files.write_csv(PLOTS / "similarity.csv", tables.SIMILARITY, tables.similarity_rows(
        {pair: files.read_csv(tables.pair_file(pair)) for pair in pairs}))


if __name__ == "__main__":
    run_stage(main)
