"""What ranking the pretrained models took."""

from unfreeze.ranking.table import SCORES
from unfreeze.reporting import cells
from unfreeze.reporting.document import Section, Table, line
from unfreeze.reporting.study import Study


def section(study: Study) -> Section:
    name, rows = "Seconds that ranking took", study.measured.get("models", [])
    if not rows:
        return Section(name, measured=True)
    timed = ("features", *SCORES)
    titles = ("features", *(title.removesuffix(" (%)") for title, _ in SCORES.values()))
    columns = ("model", *titles, "all")
    lines = [(row["model"], *(cells.number(row[each], 2) for each in timed),
              cells.number(sum(float(row[each] or 0) for each in timed), 1)) for row in rows]
    return Section(name, [
        line("Seconds: of the processor, all threads together, or of the GPU where there is one. "
             "The features are computed once for all scores."),
        Table("seconds of ranking", columns, lines, frozenset(columns[1:]), True)], measured=True)
