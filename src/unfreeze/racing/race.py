"""The loop of a race: a look is written to params.yaml, `dvc repro` trains it, it is judged."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

from unfreeze import files, places, words
from unfreeze.ahead.slots import available
from unfreeze.errors import UserError
from unfreeze.judging import outcome as outcomes
from unfreeze.judging.outcome import Outcome
from unfreeze.params import plan, race, settle
from unfreeze.params.race import SEEDS, Look, Race
from unfreeze.racing import deciding, written

PARAMS = "params.yaml"


def run(study: Path, minutes: float | None = None, again: bool = False) -> None:
    """Race a study, from where an earlier try stopped, until nothing is left to decide.

    Args:
        study: its folder.
        minutes: a look is begun only if it is expected to end within them; None: no limit.
        again: from the start, with fresh seeds.

    Raises:
        UserError: there is no study there, or it cannot be planned or trained; or an earlier look
            was at other claims, runs or knobs.
    """
    path, begun = study / PARAMS, time.monotonic()
    raced = _begin(path, again)
    _say(f"look {len(raced.looks)} of {len(SEEDS)}, {words.count(raced.looks[-1].seeds, 'seed')}")
    while True:
        _repro(study)
        outcome = outcomes.judge(plan.read(study), study)
        found = deciding.judged(outcome, raced)
        look = deciding.following(found, raced)
        _say_look(outcome, raced, found, look)
        if look is None:
            break
        seconds = expected_seconds(study, raced, look)
        if minutes is not None and time.monotonic() - begun + seconds > 60 * minutes:
            _say(f"look {len(raced.looks) + 1} would take about {_minutes(seconds)} more, so it "
                 "stops here; run the same command again, with more --minutes, to go on")
            break
        raced = _with(raced, look, race.code(outcome.runs, study))
        written.put(path, raced)
        _say(f"look {len(raced.looks)} of {len(SEEDS)}, {words.count(look.seeds, 'seed')} of "
             f"{', '.join(look.runs)}: about {_minutes(seconds)}")
    _say_spent(raced)


def _begin(path: Path, again: bool) -> Race:
    """The race as params.yaml has it; at its first look, written there, where it has none."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; name the folder of a study")
    params = files.read_yaml(path)
    earlier = params.get("race") if isinstance(params, dict) else None
    if again and isinstance(params, dict):
        params.pop("race", None)
    here = Path.cwd()
    os.chdir(path.parent)  # its own images and checkpoints are looked up from there
    try:
        settled = settle.resolve(params, str(path))
    finally:
        os.chdir(here)
    if settled.race.looks:
        return settled.race
    claims, runs = race.identity(settle.as_read(params))
    raced = Race(claims, runs, "", _order(settled, earlier), (
        Look(SEEDS[0], tuple(settled.runs), {}, ()),))
    written.put(path, raced)
    return raced


def _order(settled: plan.Plan, earlier: object) -> tuple[int, ...]:
    """The seeds of a race: those of the study, then others; none of what an earlier race has seen,
    and none of a search."""
    knobs = [run.knobs for run in settled.runs.values()]
    taken = {seed for each in knobs for seed in each["search_seeds"]}
    seen = earlier.get("order", []) if isinstance(earlier, dict) else []
    seen = [seed for seed in seen if isinstance(seed, int)]
    own = list(dict.fromkeys(seed for each in knobs for seed in each["seeds"]))
    first = [seed for seed in own if seed not in seen and seed not in taken]
    after = count(max([*own, *seen], default=0) + 1)
    more = (seed for seed in after if seed not in taken)
    return tuple([*first, *(next(more) for _ in range(SEEDS[-1]))][:SEEDS[-1]])


def _with(raced: Race, look: Look, code: str) -> Race:
    return replace(raced, code=code, looks=(*raced.looks, look))


def _repro(study: Path) -> None:
    """`dvc repro` in a study's folder, by the Python that runs this."""
    bin_folder = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=study, env=environment)
    if done.returncode:
        raise UserError(f"{study}: `dvc repro` failed, the error above says why; run the same "
                        "command again to go on")


def expected_seconds(study: Path, raced: Race, look: Look) -> float:
    """That a look takes: what its replicates took so far, side by side as there is room."""
    trainings = [(look.seeds - len(raced.seeds(name))) * _of_replicate(study, name)
                 for name in look.runs]
    return sum(trainings) / len(available().devices)


def _of_replicate(study: Path, run: str) -> float:
    return files.read_json(study / places.RUNS / run / "cost.json")["seconds_per_replicate"]


def _say_look(outcome: Outcome, raced: Race, found: deciding.Judged, look: Look | None) -> None:
    for claim, verdict in found.decided.items():
        _say(f"{claim}: {verdict}")
    for claim in found.hopeless:
        _say(f"{claim}: given up, {SEEDS[-1]} seeds would hardly decide it")
    for claim in found.open:
        _say(f"{claim}: open")
    chosen = outcome.recommendation and outcome.recommendation.recommended
    if chosen:
        _say(f"recommended: {chosen.run}" + f" ({found.settled})" * bool(found.settled))
    if look is None:
        _say("that was the last look" if len(raced.looks) == len(SEEDS) and found.runs else
             "nothing is left to decide")


def _say_spent(raced: Race) -> None:
    seeds = raced.looks[-1].seeds
    evenly = seeds * len(raced.looks[0].runs)
    more = f"; {words.count(seeds, 'seed')} of every run would be {evenly:,}"
    _say(f"{words.count(raced.trainings, 'training')}" + more * (evenly > raced.trainings))


def _minutes(seconds: float) -> str:
    return f"{words.number(seconds / 60)} min"


def _say(text: str) -> None:
    print(f"race: {text}", flush=True)
