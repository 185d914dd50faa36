"""The recommendation under a budget that has measured costs."""

from unfreeze.reporting.document import Section
from unfreeze.reporting.sections import recommendation
from unfreeze.reporting.study import Study


def section(study: Study) -> Section:
    name = "Recommendation under the whole budget"
    if not study.measured_budget or not study.measured.get("recommendation"):
        return Section(name, measured=True)
    return Section(name, recommendation.advice(study, study.measured, dict(study.plan.budget),
                                               short=True),
                   measured=True)
