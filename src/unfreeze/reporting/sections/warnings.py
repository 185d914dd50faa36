"""Where the study can hardly mean anything: what plan found, before anything else is said."""

from unfreeze.reporting.document import Items, Section
from unfreeze.reporting.study import Study


def section(study: Study) -> Section:
    lines = [(f"{line[:1].upper()}{line[1:]}.",) for line in study.plan.warnings]
    return Section("Warnings", [Items(lines)] if lines else [])
