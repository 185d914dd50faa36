"""runs/ of the planned runs, compared/ of the planned pairs, plan/ -> metrics/, plots/tables/."""

import shutil

import _source  # noqa: F401
from unfreeze import files, places
from unfreeze.judging import budget, estimates, tables, verdicts
from unfreeze.stage import run_stage

PLAN = places.PLAN


def main() -> None:
    plan = files.read_yaml(PLAN / "runs.yaml")
    runs = tables.read_runs(plan, places.RUNS)
    pairs = files.read_yaml(tables.PAIRS)
    # What runs and pairs of an earlier params.yaml left behind would be part of this stage's
    # dependencies `runs` and `compared`, so that a clone, which lacks it, would never be up to
    # date. DVC's cache keeps it.
    for place in places.RUNS.iterdir():
        if place.is_symlink() or not place.is_dir():  # a file manager's, say
            place.unlink()
        elif place.name not in {run.name for run in runs}:
            shutil.rmtree(place)
    for file in set(tables.PAIRS.parent.glob("*.csv")) - set(map(tables.pair_file, pairs)):
        file.unlink()
    scored = estimates.read_runs(plan, places.RUNS)
    own = estimates.intervals(scored)
    not_run = files.read_yaml(PLAN / "not_run.yaml")
    judged = verdicts.judge(files.read_yaml(PLAN / "claims.yaml"), scored, not_run)
    candidates = budget.recommend(scored, files.read_yaml(PLAN / "budget.yaml"), own)

    with files.whole_folder(places.METRICS) as folder:
        files.write_json(folder / "accuracy.json", {
            run.name: run.metrics["accuracy"]["mean"]
            for run in sorted(runs, key=lambda run: run.name) if not run.failed})
        files.write_json(folder / "claims.json", verdicts.claim_metrics(judged))
        for run in runs:
            files.write_json(folder / "runs" / f"{run.name}.json", tables.run_metrics(run))
            files.write_json(folder / "details" / f"{run.name}.json", run.metrics)
    confusion = files.read_csv(places.RUNS / tables.base(plan) / "scores/confusion.csv")
    with files.whole_folder(places.TABLES) as folder:
        for name, header, rows in (
            ("accuracy", tables.ACCURACY, tables.accuracy_rows(runs, own)),
            ("scores", tables.SCORES, tables.score_rows(runs, own)),
            ("claims", verdicts.CLAIMS, verdicts.claim_rows(judged)),
            ("reported", verdicts.REPORTED,
             verdicts.reported_rows(files.read_yaml(PLAN / "reported.yaml"), own, not_run)),
            ("recommendation", budget.RECOMMENDATION, budget.recommendation_rows(candidates)),
            ("pareto", budget.PARETO, budget.pareto_rows(scored, own)),
            ("learning_curves", tables.CURVES, tables.curve_rows(runs)),
            ("wall_clock", tables.WALL_CLOCK, tables.wall_clock_rows(runs)),
            ("fractions", tables.FRACTIONS, tables.fraction_rows(runs, own)),
            ("reliability", tables.RELIABILITY, tables.reliability_rows(runs)),
            ("confusion", tables.CONFUSION, tables.confusion_rows(confusion)),
            ("confused", tables.CONFUSED, tables.confused_rows(runs)),
            ("movement", tables.MOVEMENT, tables.movement_rows(runs)),
            ("costs", tables.COSTS, tables.cost_rows(runs)),
            ("similarity", tables.SIMILARITY, tables.similarity_rows(
                {pair: files.read_csv(tables.pair_file(pair)) for pair in pairs})),
        ):
            files.write_csv(folder / f"{name}.csv", header, rows)


if __name__ == "__main__":
    run_stage(main)
