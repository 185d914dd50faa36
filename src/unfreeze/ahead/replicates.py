"""The replicates that runs will ask for, of all runs together."""

from contextlib import suppress

from unfreeze import environment, places
from unfreeze import recipe as recipes
from unfreeze.ahead import needed, workers
from unfreeze.ahead.engine import would_train
from unfreeze.ahead.task import Task
from unfreeze.errors import UserError
from unfreeze.recipe import Recipe
from unfreeze.training import checkpoint, counting, result


def train() -> None:
    """Train those of the runs that DVC is about to train, as far as the scratch folder has room to
    keep them until it does; the rest is left to train@RUN."""
    if not would_train(2):
        return
    runs = {}
    for path in sorted(places.RECIPES.glob("*.yaml")):
        with suppress(UserError):  # of a run that is no more, say; its stage, if any, will tell
            runs[path.stem] = recipes.read(path)
    tasks = missing(runs)
    if not would_train(len(tasks)):
        return
    would_run = needed.would_run("train", runs)
    room = environment.scratch_limit() / 2  # the other half: of what trains, its last epoch
    fit = []
    for run, each in tasks:
        room -= _stored_bytes(each.recipe)
        if run in would_run and room > 0:
            fit.append(each)
    workers.train(fit, "replicates")


def missing(runs: dict[str, Recipe]) -> list[tuple[str, Task]]:
    """Of all runs, the replicates that are not finished in the scratch folder; what several runs
    want is one task."""
    tasks = {}
    for run, recipe in runs.items():
        if recipe.trains and not recipe.failed:
            for seed in recipe.seeds:
                task = Task(recipe, seed, result.label(run, seed))
                # Where that was in another arithmetic than is asked for, train@RUN trains it.
                if not checkpoint.is_finished(task.identity):
                    tasks.setdefault(task.identity, (run, task))
    return list(tasks.values())


def _stored_bytes(recipe: Recipe) -> int:
    """Of a finished replicate: about those of what trained."""
    return 4 * max(phase.parameters_trainable for phase in counting.counted(recipe).phases)
