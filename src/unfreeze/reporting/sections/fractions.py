"""How accuracy grows with the share of the training images."""

from unfreeze.reporting.document import Picture, Section
from unfreeze.reporting.study import Study


def section(study: Study) -> Section:
    return Section("How much data",
                   [Picture.chart("fractions")] if study.rows["fractions"] else [])
