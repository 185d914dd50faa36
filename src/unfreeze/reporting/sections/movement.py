"""How far training moved the weights."""

from unfreeze.reporting.document import Picture, Section, line
from unfreeze.reporting.study import Study


def section(study: Study) -> Section:
    name = "How far the weights moved"
    if not study.rows["movement"]:
        return Section(name)
    return Section(name, [
        line("Distance of the pretrained parameters of each part from where they started, over "
             "the norm of where they started; mean over seeds."),
        Picture.chart("movement"),
    ])
