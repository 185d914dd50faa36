"""Accuracy on validation after as many seconds for every run."""

from unfreeze.reporting import cells
from unfreeze.reporting.document import Picture, Section, Table, line
from unfreeze.reporting.study import Study
from unfreeze.words import fixed


def section(study: Study) -> Section:
    name = "Matched time"
    rows = study.measured.get("matched", [])
    if len(rows) < 2:  # nothing to match
        return Section(name, measured=True)
    seconds = f"{fixed(float(rows[0]['seconds_matched']), 1)} s"
    fastest = rows[0]["set_by"]
    why = f"what {fastest} needs for all its epochs" if fastest else "the budget"
    columns = ("run", f"after {seconds} (%)", f"epochs in {seconds}", "epochs",
               "training time (s)")
    lines = [(row["run"], *(cells.number(row[column], 1) for column in (
        "accuracy_in_seconds", "epochs_in_seconds", "epochs", "seconds"))) for row in rows]
    lines.sort(key=lambda cells: (cells[1].value is None, -(cells[1].value or 0)))
    return Section(name, [
        line("Accuracy on the validation images, mean over seeds, at the end of the last epoch "
             f"within {seconds} of training ({why}; - where not every seed had finished an epoch). "
             "The learning rate was not planned to end there, so a run cut short is not at its "
             "best."),
        Table("matched time", columns, lines, frozenset(columns[1:]), True,
              (columns[1], "descending")),
        Picture.chart("wall_clock", measured=True)], measured=True)
