"""Which stages DVC is about to run: nothing is trained ahead that it has already, or restores."""

import os
from collections.abc import Iterable
from pathlib import Path


def would_run(stages: str, runs: Iterable[str]) -> set[str]:
    """Those of some runs for which DVC would execute the command of a stage, were it their turn
    now. All of them where DVC cannot say: the folder is no project of it, say. None where it was
    told to pull: what a remote has, only the remote can say.

    Args:
        stages: their name before the @RUN.
    """
    if _pulls():
        return set()
    # Here, since they take a second, which is only worth it where there is something to train.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo, repo.lock:
            return {stage.name.partition("@")[2]
                    for stage in repo.stage.load_all("dvc.yaml", stages) if _runs(repo, stage)
                    } & {*runs}
    except DvcException:
        return {*runs}


def _runs(repo, stage) -> bool:
    from dvc.stage.serialize import to_single_stage_lockfile

    # `stage.changed()` and `restore()` of DVC's cache of runs, without what they lock and change.
    changed = stage.changed_stage() or stage.changed_deps()
    if not (changed or stage.changed_outs()):
        return False
    if not changed and all(out.hash_info for out in stage.outs):
        known = to_single_stage_lockfile(stage)
    else:
        stage.save_deps()
        known = repo.stage_cache._load(stage)
    return not (known and repo.stage_cache._create_stage(known, wdir=stage.wdir).outs_cached())


def _pulls() -> bool:
    """Whether a process that this one is of has the option --pull, as of `dvc repro`. DVC tells a
    stage nothing of its options."""
    process = os.getppid()
    while process > 1:
        try:
            if b"--pull" in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0"):
                return True
            # In its line of numbers the name, in brackets, may have spaces.
            status = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended, or the system has no such files
            return False
        process = int(status[1])
    return False
