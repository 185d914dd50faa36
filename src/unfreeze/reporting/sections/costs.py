"""Which runs no other beats in score and cost at once."""

from unfreeze import places
from unfreeze.reporting.document import Block, Code, Items, Picture, Section, line, listed
from unfreeze.reporting.study import Rows, Study


def section(study: Study) -> Section:
    name = f"{study.score.text.capitalize()} against cost"
    if not study.rows["pareto"]:
        return Section(name)
    return Section(name, [
        line("Not dominated, by cost: no other run has at least their score (the mean) for at most "
             "their cost. These costs are counted, and the same everywhere; what was measured is "
             "in ", Code(str(places.PAGE)), "."),
        *fronts(study, study.rows["pareto"]), Picture.chart("pareto")])


def fronts(study: Study, rows: Rows) -> list[Block]:
    """The runs that are not dominated, a line for each cost.

    Args:
        rows: of a table pareto.csv.
    """
    by_cost: dict[str, list[str]] = {}
    for row in rows:
        front = by_cost.setdefault(row["cost"], [])
        if row["dominated"] == "no":
            front.append(row["run"])
    return [Items([(Code(cost), f" ({study.quantities[cost].text}): ", *listed(runs))
                   for cost, runs in by_cost.items()])]
