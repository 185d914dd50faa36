"""What the advised run takes for what."""

from unfreeze.reporting import cells
from unfreeze.reporting.document import Picture, Section, Table, line
from unfreeze.reporting.study import Study

COLUMNS = ("true class", "taken for", "images of that class (%)")


def section(study: Study) -> Section:
    run = study.shown
    if run is None:
        return Section("Mistakes")
    advised = any(row["run"] == run and row["recommended"] == "yes"
                  for row in study.rows["recommendation"])
    pairs = [(row["actual"], row["predicted"], cells.number(row["percent"], 1))
             for row in study.rows["confused"] if row["run"] == run]
    table = Table("most confused classes", COLUMNS, pairs, frozenset(COLUMNS[2:]), True,
                  (COLUMNS[2], "descending"))
    return Section(f"What {run} gets wrong", [
        line(f"{run} is the run that is recommended." if advised else
             f"No run is recommended; {run} stands for the study."),
        Picture.chart("confusion", f"Confusion matrix of {run}"), *([table] if pairs else []),
        Picture.chart("confused", f"The most confused pairs of classes of {run}"),
        Picture(str(study.place_of_photos / "mistakes.png"),
                f"The most confident mistakes of {run}")])
