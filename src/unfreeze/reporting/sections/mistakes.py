"""What the advised run takes for what."""

from unfreeze.reporting import cells
from unfreeze.reporting.document import Block, Code, Picture, Section, Table, line
from unfreeze.reporting.study import Study

OF_CLASS = ("class", "trained on", "tested on", "right (%)", "of those so called, right (%)")
MOST_CLASSES = 40  # in a table
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
        *_by_class(study, run),
        Picture.chart("confusion", f"Confusion matrix of {run}"),
        *([table] if pairs else []),
        Picture.chart("confused", f"The most confused pairs of classes of {run}"),
        Picture(str(study.place_of_photos / "mistakes.png"),
                f"The most confident mistakes of {run}")])


def _by_class(study: Study, run: str) -> list[Block]:
    """Of each class how many images there were and how well it is told, the worst first."""
    scores = study.details[run].get("per_class", {})
    card = study.cards.get(study.plan.runs[run].knobs["dataset"])
    taught = study.images[run].train_of_class
    if not scores or not card or not taught:
        return []
    images = dict(zip(card["classes"], taught, strict=True))
    rows = [(name, cells.number(images[name]), cells.number(of_class["images"]),
             *(cells.number("" if of_class[each] is None else of_class[each], 1)
               for each in ("recall", "precision"))) for name, of_class in scores.items()]
    rows.sort(key=lambda row: (row[3].value is None, row[3].value or 0))
    rest = [line(f"The {MOST_CLASSES} worst of {len(rows)} classes; the others are in ",
                 Code(f"metrics/details/{run}.json"), ".")] if len(rows) > MOST_CLASSES else []
    return [Table("classes", OF_CLASS, rows[:MOST_CLASSES], frozenset(OF_CLASS[1:]), True,
                  (OF_CLASS[3], "ascending")), *rest]
