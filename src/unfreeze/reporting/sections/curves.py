"""Accuracy while training; after as many epochs for every run."""

from unfreeze.reporting import cells
from unfreeze.reporting.document import Block, Picture, Section, Table, line
from unfreeze.reporting.study import Study
from unfreeze.words import count

REPORTED = "train, as reported"  # a split of plots/tables/learning_curves.csv


def _reported(study: Study) -> list[Block]:
    if not any(row["split"] == REPORTED for row in study.rows["learning_curves"]):
        return []
    return [line("Beside ours is the accuracy on the training images that was reported, where it "
                 "was; of other settings than ours, if these are scaled down.")]


def section(study: Study) -> Section:
    name = "Learning curves"
    rows = study.rows["matched"]
    if not rows:  # without validation images: what there is of training
        return Section(name, [
            *_reported(study),
            Picture.chart("learning_curves", "Accuracy on the training images over epochs")])
    epochs = count(int(rows[0]["epochs_matched"]), "epoch")
    columns = ("run", f"after {epochs} (%)", "epochs")
    lines = [(row["run"], cells.number(row["accuracy_after_epochs"], 1),
              cells.number(row["epochs"], 0 if row["epochs"].isdigit() else 1)) for row in rows]
    lines.sort(key=lambda cells: -cells[1].value)
    alike = len({row["epochs"] for row in rows}) == 1
    table = [] if alike else [
        line(f"Accuracy on the validation images, mean over seeds, after {epochs}, as many as the "
             "run with the fewest has. Validation images are few: differences of some points mean "
             "little here. The learning rate was not planned to end there, so a run cut short is "
             "not at its best."),
        Table("matched epochs", columns, lines, frozenset(columns[1:]), True,
              (columns[1], "descending"))]
    return Section(name, [*table, *_reported(study), Picture.chart("learning_curves")])
