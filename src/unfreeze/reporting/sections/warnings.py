"""Where the study can hardly mean anything, before anything else is said: what plan found, and a
budget that leaves next to nothing to choose from."""

from unfreeze.reporting.document import Items, Section
from unfreeze.reporting.study import Study
from unfreeze.words import quantity


def section(study: Study) -> Section:
    lines = [(f"{line[:1].upper()}{line[1:]}.",)
             for line in (*study.plan.warnings, *_budget(study))]
    return Section("Warnings", [Items(lines)] if lines else [])


def _budget(study: Study) -> list[str]:
    """By what is counted: what is measured is judged further below, and is otherwise elsewhere."""
    limits = ", ".join(f"{cost}: {quantity(limit, study.quantities[cost].unit)}"
                       for cost, limit in study.plan.budget.items()
                       if cost not in study.measured_budget)
    rows = [row for row in study.rows["recommendation"] if row["run"] not in study.failed]
    within = [row["run"] for row in rows if row["within_budget"] == "yes"]
    if not limits or len(rows) < 2 or len(within) > 1:
        return []
    if within:
        return [f"of {len(rows)} runs only {within[0]} keeps the budget ({limits}), so there was "
                "nothing to choose from"]
    return [f"no run keeps the budget ({limits})"]
