"""Whether the models are right as often as they say."""

from unfreeze.reporting.document import Picture, Section, line
from unfreeze.reporting.study import Study


def section(study: Study) -> Section:
    rows = study.rows["reliability"]
    if not rows:
        return Section("Calibration")
    scaled = any(row["scaled"] == "yes" for row in rows)
    return Section("Calibration", [
        line("Share of right predictions against the confidence of the model, pooled over seeds; "
             "on the diagonal a model is right as often as it says."),
        Picture.chart("reliability", "Reliability diagrams, before and after temperature scaling"
                      if scaled else "Reliability diagrams"),
    ])
