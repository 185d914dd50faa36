"""Claims on what was measured, which are judged for this machine and this time."""

from unfreeze.reporting.document import Picture, Section, line
from unfreeze.reporting.sections import claims
from unfreeze.reporting.study import Study


def section(study: Study) -> Section:
    name = "Claims on measured costs"
    rows = study.measured.get("claims")
    if not rows:
        return Section(name, measured=True)
    return Section(name, [
        line("Time is that of the processor or the device, of each seed. What differs by little is "
             "not told apart."),
        claims.table("claims on measured costs", rows),
        Picture.chart("claims", measured=True)], measured=True)
