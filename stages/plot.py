"""metrics/, plots/tables/*.csv -> plots/charts/, report.md and report.html."""

import os
from pathlib import Path

from _source import ROOT
from unfreeze import environment, files, places, pool
from unfreeze.params.plan import base
from unfreeze.reporting import document, figures, html, inputs, report
from unfreeze.stage import run_stage


def main() -> None:
    study = report.read(Path("."), place=os.path.relpath(Path.cwd(), ROOT))
    frames = {name: inputs.frame(places.TABLES / f"{name}.csv") for name in report.TABLES}
    by_seed = {run: list(scores["accuracy"]["seeds"].values())
               for run, scores in study.details.items() if run not in study.failed}
    drawings = {
        "accuracy.svg": (figures.accuracy, frames["accuracy"], by_seed),
        "claims.svg": (figures.claims, frames["claims"]),
        "fractions.svg": (figures.fractions, frames["fractions"]),
        "learning_curves.svg": (figures.learning_curves, frames["learning_curves"]),
        "wall_clock.svg": (figures.wall_clock, frames["wall_clock"]),
        "pareto.svg": (figures.pareto, frames["pareto"]),
        "reliability.svg": (figures.reliability, frames["reliability"]),
        "confusion.svg": (figures.confusion, frames["confusion"], base(study.plan)),
        "movement.svg": (figures.movement, frames["movement"]),
        "similarity.svg": (figures.similarity, frames["similarity"], study.pairs),
        "mistakes.png": (figures.mistakes, *inputs.mistakes(study, Path("."))),
    }
    with files.whole_folder(places.CHARTS) as folder:
        tasks = [(folder / file, *drawing) for file, drawing in drawings.items()]
        for _ in pool.run(draw, tasks, environment.workers()):
            pass

    title, sections = report.title(study), report.sections(study)
    files.write_text(places.REPORT, document.markdown(title, sections))
    files.write_text(places.PAGE,
                     html.page(title, sections, html.charts(places.TABLES), places.PLOTS))


def draw(task: tuple) -> None:
    """Draw and write a picture.

    Args:
        task: its file, a function of `figures`, and that function's arguments.
    """
    file, function, *arguments = task
    figures.save(function(*arguments), file)


if __name__ == "__main__":
    run_stage(main)
