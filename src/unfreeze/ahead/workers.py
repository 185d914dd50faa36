"""Replicates trained side by side, as far as there is an engine that does."""

import sys
from collections.abc import Sequence
from contextlib import closing

from tqdm import tqdm

from unfreeze import environment, supervision
from unfreeze.ahead.display import Display
from unfreeze.ahead.engine import Engine, would_train
from unfreeze.ahead.pool import Pool
from unfreeze.ahead.slots import available
from unfreeze.ahead.task import Task
from unfreeze.errors import UserError


def train(tasks: Sequence[Task], what: str) -> None:
    """Train replicates side by side, where more than one can be at a time; else nothing happens,
    and they are left to who needs them. So is one that fails.

    Args:
        what: they are, for the progress bar.

    Raises:
        UserError: the engine that UNFREEZE_ENGINE names cannot train.
    """
    if not would_train(len(tasks)):
        return
    if environment.engine() != "pool":
        from unfreeze.ahead import on_ray  # here, since importing Ray takes seconds

        try:
            with on_ray.connected(environment.engine()) as engine:
                sent = on_ray.sent_unasked(environment.engine())
                if sent:
                    tqdm.write(sent)
                _by(engine, tasks, what)
            return
        except UserError as error:
            if environment.engine_is_named():
                raise
            tqdm.write(f"warning: {error}; this machine trains by itself")
            tasks = [task for task in tasks if not task.finished]
    slots = available()
    if len(tasks) > 1 and len(slots.devices) > 1:
        _by(Pool(slots), tasks, what)


def _by(engine: Engine, tasks: Sequence[Task], what: str) -> None:
    """Does not return where DVC is killed meanwhile."""
    started = supervision.starter()
    with closing(engine.run(tasks)) as events, Display(tasks, what) as display:
        for event in events:
            display.show(event)
            # Or two would train the same, once that is started again.
            if supervision.starter() != started:
                sys.exit("error: DVC, which this was trained for, has ended; run the same command "
                         "again, what is finished is kept")
