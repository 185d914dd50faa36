"""What the trials of a search came to: from the scratch folder, or trained now."""

import os
import sys
from collections.abc import Sequence

from unfreeze import environment, words
from unfreeze.ahead import workers
from unfreeze.ahead.task import Task
from unfreeze.choosing import outcomes
from unfreeze.choosing.pinned import Pinned
from unfreeze.choosing.scores import Outcome
from unfreeze.choosing.trials import Outcomes, Trial, search


def find(run: str, pinned: Pinned) -> Outcomes:
    """What all trials of a run came to.

    Raises:
        UserError: one cannot be trained, or `operations` allows not even a candidate's.
    """
    together = environment.processes() > 1 or os.environ.get("WORLD_SIZE", "1") != "1"
    if together:
        _join()
    rungs = search(run, pinned)
    rung = next(rungs)
    while True:
        came_to = _all_trained(run, pinned, rung) if together else _found(run, pinned, rung)
        try:
            rung = rungs.send(came_to)
        except StopIteration as end:
            if together:
                _part()
            return end.value


def missing(run: str, pinned: Pinned, rung: Sequence[Trial]) -> list[Task]:
    """The trials of a rung that are not in the scratch folder."""
    return [Task(trial.recipe, trial.seed, label(run, pinned, trial))
            for trial in rung if outcomes.kept(trial.recipe, trial.seed) is None]


def known(rung: Sequence[Trial]) -> list[Outcome] | None:
    """What the trials of a rung came to, if that is in the scratch folder of all of them."""
    found = [outcomes.kept(trial.recipe, trial.seed) for trial in rung]
    return None if None in found else found


def label(run: str, pinned: Pinned, trial: Trial) -> str:
    """Of a trial, for what is printed."""
    folds = len(pinned.trial_seeds[trial.seed])
    candidate = pinned.candidates[trial.candidate]
    return (f"{run} ({words.settings(candidate.values)}) seed {trial.seed}"
            + f" fold {trial.fold + 1} of {folds}" * (folds > 1)
            + f", {words.count(trial.epochs, 'epoch')}" * (trial.divisor > 1))


def _found(run: str, pinned: Pinned, rung: Sequence[Trial]) -> list[Outcome]:
    workers.train(missing(run, pinned, rung), f"trials of {run}")
    return [outcomes.kept(trial.recipe, trial.seed) or _trained(run, pinned, trial)
            for trial in rung]


def _all_trained(run: str, pinned: Pinned, rung: Sequence[Trial]) -> list[Outcome]:
    """Each by all processes: each of them must know the same of what is finished."""
    return [_trained(run, pinned, trial) for trial in rung]


def _trained(run: str, pinned: Pinned, trial: Trial) -> Outcome:
    from unfreeze.ahead import training  # here, since it imports torch

    return outcomes.outcome_of(trial.recipe, training.train(
        trial.recipe, trial.seed, label(run, pinned, trial)))


def _join() -> None:
    """The other processes that train with this one."""
    from unfreeze.training import devices
    from unfreeze.training.together import launch

    launch.begin(on_cpu=devices.wanted().type == "cpu")


def _part() -> None:
    """From them: the first alone goes on."""
    from unfreeze.training.together import launch, reduce

    rank = reduce.rank()
    launch.finish()
    if rank:
        sys.exit(0)
