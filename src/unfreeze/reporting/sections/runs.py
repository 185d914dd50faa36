"""Accuracy and costs of every run, best first, failed ones last."""

from unfreeze.reporting import cells
from unfreeze.reporting.document import Inline, Number, Picture, Section, Table, line
from unfreeze.reporting.sections.common import changes_text
from unfreeze.reporting.study import Study

COLUMNS = ("run", "what it changes", "accuracy (%)", "95 % interval", "cross-entropy", "seeds",
           "trained parameters", "stored (MB)", "activations (MB)", "training time (s)")


def section(study: Study) -> Section:
    lines = [_finished(study, row) for row in study.rows["accuracy"]]
    lines += [_failed(study, run, why) for run, why in study.failed.items()]
    tests = sorted({str(metrics["test_images"]) for metrics in study.details.values()})
    dagger = (" † One seed: the interval is over test images only, and says nothing of how another "
              "seed would do.") if any(map(_one_seed, study.rows["accuracy"])) else ""
    return Section("All runs", [
        Table("all runs", COLUMNS, lines, frozenset(COLUMNS[2:]), True,
              ("accuracy (%)", "descending")),
        line(f"Means over seeds, on {' or '.join(tests)} test images.{dagger} Stored: what one "
             "seed's model adds to the pretrained weights. Activations: what autograd keeps for "
             "the backward pass of a batch, counted in float32. Training time: of one seed, "
             "without validation and testing, on the machine named below."),
        Picture.chart("accuracy"),
    ])


def _one_seed(row: dict[str, str]) -> bool:
    return row["interval"] == "images"


def _finished(study: Study, row: dict[str, str]) -> tuple[Inline, ...]:
    run = row["run"]
    return (run, changes_text(study.plan.runs[run].changes), cells.number(row["accuracy"], 1),
            cells.interval(row, 1, " †" if _one_seed(row) else ""),
            cells.number(study.details[run]["cross_entropy"]["mean"], 2),
            cells.number(row["replicates"]), *_costs(study, run))


def _failed(study: Study, run: str, why: str) -> tuple[Inline, ...]:
    settled = study.plan.runs[run]
    return (run, f"{changes_text(settled.changes)} (failed: {why})", Number(None, "failed"),
            cells.NONE, cells.NONE, cells.number(len(settled.knobs["seeds"])), *_costs(study, run))


def _costs(study: Study, run: str) -> tuple[Number, ...]:
    row = next((row for row in study.rows["costs"] if row["run"] == run), None)
    if row is None:
        return (cells.NONE,) * 4
    return (cells.number(row["parameters_trainable"]), cells.number(row["stored_mb"], 1),
            cells.number(row["activation_mb"]), cells.number(row["seconds_per_replicate"]))
