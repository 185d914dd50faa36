"""Numbers that somebody reported beside those that came out here."""

from unfreeze.reporting import cells
from unfreeze.reporting.document import Section, Table
from unfreeze.reporting.study import Study

COLUMNS = ("run", "score", "reported", "ours", "95 % interval", "ours - reported",
           "within the interval")


def section(study: Study) -> Section:
    lines = [(row["run"], row["metric"].replace("_", " "), cells.number(row["reported"], 2),
              cells.number(row["ours"], 2), cells.interval_text(row, 2),
              cells.number(row["difference"], 2, sign=True), row["within"])
             for row in study.rows["reported"]]
    return Section("Reported numbers beside ours", [
        Table("reported numbers", COLUMNS, lines, frozenset(COLUMNS[2:6]))] if lines else [])
