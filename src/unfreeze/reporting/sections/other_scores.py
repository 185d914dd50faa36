"""The scores besides accuracy, a column each."""

from unfreeze.reporting import cells
from unfreeze.reporting.document import Code, Number, Section, Table, line
from unfreeze.reporting.study import Quantity, Study

SCALED = "ece_scaled"  # the calibration error once more, and so no score that one may claim


def section(study: Study) -> Section:
    by_run: dict[str, dict[str, dict]] = {}
    for row in study.rows["scores"]:
        by_run.setdefault(row["run"], {})[row["metric"]] = row
    there = {metric for rows in by_run.values() for metric in rows}
    scores = {name: quantity for name, quantity in study.quantities.items()
              if quantity.kind == "score" and name != study.plan.score}
    scores[SCALED] = Quantity("score", "after scaling", "%")
    shown = {name: quantity for name, quantity in scores.items() if name in there}
    run_order = [row["run"] for row in study.rows["ranking"]]
    if not shown:
        return Section("Other scores")
    scaled = (", before and after scaling the logits by one temperature fitted on images held out "
              "of training" if SCALED in there else "")
    titles = [quantity.title for quantity in shown.values()]
    lines = [(run, *(_cell(by_run.get(run, {}).get(name), quantity.unit)
                     for name, quantity in shown.items())) for run in run_order]
    return Section("Other scores", [
        Table("other scores", ("run", *titles), lines, frozenset(titles), True),
        line("With 95 % intervals. Calibration error: expected, over 15 bins of equal width"
             f"{scaled}; as such sums go it is too high by a point or two with few images, which "
             "is why it has no interval. Brier score: sum over classes of squared differences, "
             "from 0 to 2. Per class: ", Code("metrics/details/RUN.json"), "."),
    ])


def _cell(row: dict[str, str] | None, unit: str) -> Number:
    if row is None:
        return cells.NONE
    decimals = cells.decimals(unit)
    mean = cells.number(row["mean"], decimals)
    inside = f" ({cells.interval_text(row, decimals)})" if row["low"] else ""
    return Number(mean.value, mean.text + inside)
