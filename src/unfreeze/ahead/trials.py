"""The trials that choices will ask for, of all runs together."""

from unfreeze import places
from unfreeze.ahead import needed, workers
from unfreeze.ahead.engine import would_train
from unfreeze.ahead.task import Task
from unfreeze.choosing import finding, pinned
from unfreeze.choosing.trials import Search, Trial, search
from unfreeze.errors import UserError


def train() -> None:
    """Train them, rung by rung where there is halving: what the next one needs is known then. A run
    whose search cannot go on is left to choose@RUN, which says why."""
    searches = {path.stem: each for path in sorted(places.PINNED.glob("*.yaml"))
                if (each := pinned.read(path)).searched}
    if not searches or not would_train(2):
        return
    running = {run: begun for run, each in searches.items() if (begun := _begin(run, each))}
    if not _missing(searches, running):
        return
    would_run = needed.would_run("choose", searches)
    running = {run: state for run, state in running.items() if run in would_run}
    while running:
        workers.train(_missing(searches, running), "trials")
        running = {run: state for run, (rungs, rung) in running.items()
                   if (state := _next(rungs, rung)) is not None}


def _begin(run: str, each: pinned.Pinned) -> tuple[Search, list[Trial]] | None:
    """A search and its first rung; None: it allows less work than there is."""
    rungs = search(run, each)
    try:
        return rungs, next(rungs)
    except UserError:
        return None


def _missing(searches: dict[str, pinned.Pinned],
             running: dict[str, tuple[Search, list[Trial]]]) -> list[Task]:
    """Of the rungs that runs are at; what several runs want is one task."""
    tasks = {}
    for run, (_, rung) in running.items():
        for task in finding.missing(run, searches[run], rung):
            tasks.setdefault(task.identity, task)
    return list(tasks.values())


def _next(rungs: Search, rung: list[Trial]) -> tuple[Search, list[Trial]] | None:
    """The next rung of a search; None: there is none, or one of this rung's trials is missing."""
    found = finding.known(rung)
    if found is None:
        return None
    try:
        return rungs, rungs.send(found)
    except StopIteration:
        return None
