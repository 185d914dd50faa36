"""Which runs no other beats in accuracy and cost at once."""

from unfreeze.reporting.document import Code, Items, Picture, Section, line, listed
from unfreeze.reporting.study import Study


def section(study: Study) -> Section:
    fronts: dict[str, list[str]] = {}
    for row in study.rows["pareto"]:
        front = fronts.setdefault(row["cost"], [])
        if row["dominated"] == "no":
            front.append(row["run"])
    if not fronts:
        return Section("Accuracy against cost")
    return Section("Accuracy against cost", [
        line("Not dominated, by cost: no other run has at least their accuracy (the mean) for at "
             "most their cost."),
        Items([(Code(cost), f" ({study.quantities[cost].text}): ", *listed(runs))
               for cost, runs in fronts.items()]),
        Picture.chart("pareto"),
    ])
