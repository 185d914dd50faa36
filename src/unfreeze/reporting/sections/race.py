"""What `unfreeze race` spent, look by look, and what it decided."""

from unfreeze.params.race import Look
from unfreeze.reporting import cells
from unfreeze.reporting.document import Cell, Code, Section, Table, line
from unfreeze.reporting.study import Study
from unfreeze.words import count

COLUMNS = ("seeds", "runs that got them", "trained for it", "decided before", "given up before")


def section(study: Study) -> Section:
    raced = study.plan.race
    looks = raced.looks
    if not looks:
        return Section("The race")
    lines = [_line(look, raced.trained_for(number), len(study.plan.runs))
             for number, look in enumerate(looks)]
    evenly = looks[-1].seeds * len(study.plan.runs)
    return Section("The race", [
        line(Code("unfreeze race"), f" looked at the results {count(len(looks), 'time')} and gave "
             "more seeds only to runs that an open claim is about or that may be the best: "
             f"{count(raced.trainings, 'model')} trained, where as many seeds for every run would "
             f"have been {evenly:,}. The claims are corrected for all looks that there may be; "
             "what an earlier look decided stays decided."),
        Table("looks of the race", COLUMNS, lines, frozenset({"seeds", "trained for it"}))])


def _line(look: Look, new: int, of: int) -> tuple[Cell, ...]:
    """Of a look; `new` models were trained for it, and there are so many runs in all."""
    runs = f"all {of}" if len(look.runs) == of else ", ".join(look.runs)
    decided = ", ".join(f"{claim}: {verdict}" for claim, verdict in look.decided.items())
    return (cells.number(look.seeds), runs, cells.number(new), decided, ", ".join(look.hopeless))
