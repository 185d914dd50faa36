"""Runs that are part of the question and were left out."""

from unfreeze.reporting.document import Code, Section, Table, line, with_code
from unfreeze.reporting.sections.common import changes_text
from unfreeze.reporting.study import Study
from unfreeze.words import count


def section(study: Study) -> Section:
    name = "Not run here"
    left_out = study.plan.not_run
    if not left_out:
        return Section(name)
    reported: dict[str, list[str]] = {}
    for row in study.rows["reported"]:
        reported.setdefault(row["run"], []).append(
            f"{row['metric'].replace('_', ' ')} {row['reported']}")
    return Section(name, [
        line(f"{count(len(left_out), 'run')} of this question, declared under ",
             Code("not_run:"), " in params.yaml. Comparisons with them are not computed; the other "
             "comparisons of such a claim are judged, and may contradict it, but it does not hold "
             "before all of them do."),
        Table("runs that were not run", ("run", "what it changes", "reported", "why"), [
            (run, changes_text(declared.changes), ", ".join(reported.get(run, ["-"])),
             with_code(declared.why)) for run, declared in left_out.items()]),
    ])
