"""Accuracy while training; after as many epochs and as many seconds for every run."""

from unfreeze.reporting import cells
from unfreeze.reporting.document import Picture, Section, Table, line
from unfreeze.reporting.study import Study
from unfreeze.words import count, fixed


def section(study: Study) -> Section:
    rows = study.rows["matched"]
    if not rows:  # without validation images: what there is of training
        return Section("Learning curves", [
            Picture.chart("learning_curves", "Accuracy on the training images over epochs")])
    epochs = count(int(rows[0]["epochs_matched"]), "epoch")
    seconds = f"{fixed(float(rows[0]['seconds_matched']), 1)} s"
    fastest = rows[0]["set_by"]
    why = f"what {fastest} needs for all its epochs" if fastest else "the budget"
    columns = ("run", f"after {epochs} (%)", f"after {seconds} (%)", f"epochs in {seconds}",
               "epochs", "training time (s)")
    lines = [(row["run"], *(cells.number(row[column], 1) for column in (
        "accuracy_after_epochs", "accuracy_in_seconds", "epochs_in_seconds", "epochs", "seconds")))
        for row in rows]
    lines.sort(key=lambda cells: (cells[2].value is None, -(cells[2].value or 0)))
    return Section("Matched epochs, matched time", [
        line(f"Accuracy on the validation images, mean over seeds, after {epochs} "
             f"and at the end of the last epoch within {seconds} of training ({why}; - where "
             "not every seed had finished an epoch). Validation images are few: differences of "
             "some points mean little here. The learning rate was not planned to end there, so a "
             "run cut short is not at its best."),
        Table("matched epochs and time", columns, lines, frozenset(columns[1:]), True,
              (columns[2], "descending")),
        Picture.chart("learning_curves"),
        Picture.chart("wall_clock"),
    ])
