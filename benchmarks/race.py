"""What a race trains and decides, beside the same number of trainings spent evenly.

A race that is replayed trains nothing: it takes the seeds that it asks for from models that are
there already. So the same models can be raced in many orders of their seeds.

    race.py simulated            made-up studies whose truth is known (benchmarks/regret.py): ten
                                 runs, ten claims about pairs of them
    race.py replayed STUDY       the claims of a study every run of which has been trained with the
                                 same seeds, 8 or better 16 of them: `seeds` in its params.yaml,
                                 then dvc repro

Evenly is as many seeds for every run as the race's trainings allow (rounded to the nearest, since a
race does not stop at a multiple of the runs), judged in one look at 5 %.

Usage: python benchmarks/race.py simulated [--studies 40] [--alike]
       python benchmarks/race.py replayed studies/layers/small [--orders 20]
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from benchmarks import regret  # noqa: E402

from unfreeze.judging import outcome  # noqa: E402
from unfreeze.judging import runs as trained  # noqa: E402
from unfreeze.judging.runs import TrainedRun  # noqa: E402
from unfreeze.judging.verdicts import CONTRADICTED, DECIDED, HOLDS, Verdict  # noqa: E402
from unfreeze.params import plan as plans  # noqa: E402
from unfreeze.params.plan import Claim, Plan  # noqa: E402
from unfreeze.params.race import SEEDS, Look, Race  # noqa: E402
from unfreeze.racing import deciding  # noqa: E402

CLAIMS = 10


@dataclass(frozen=True)
class Spent:
    """What came of it.

    Attributes:
        trainings: of all runs. decided: {claim: verdict}, of those that are tested.
    """

    trainings: int
    decided: Mapping[str, str]


def raced(plan: Plan, runs: Mapping[str, TrainedRun], order: Sequence[int]) -> Spent:
    """A race to its end.

    Args:
        plan: with claims. runs: each with all seeds of `order`; it ends where these do.
    """
    race = Race(order=tuple(order), looks=(Look(SEEDS[0], tuple(runs), {}, ()),))
    while True:
        found = outcome.of_runs(replace(plan, race=race), {
            name: of_seeds(run, race.seeds(name)) for name, run in runs.items()})
        look = deciding.following(deciding.judged(found, race), race)
        if look is None or look.seeds > len(order):
            return Spent(race.trainings, decided(found.verdicts))
        race = replace(race, looks=(*race.looks, look))


def evenly(plan: Plan, runs: Mapping[str, TrainedRun], order: Sequence[int], trainings: int
           ) -> Spent:
    """As many trainings, shared out."""
    seeds = min(max(1, round(trainings / len(runs))), len(order))
    found = outcome.of_runs(plan, {name: of_seeds(run, order[:seeds])
                                   for name, run in runs.items()})
    return Spent(seeds * len(runs), decided(found.verdicts))


def decided(verdicts: Sequence[Verdict]) -> dict[str, str]:
    return {verdict.claim: verdict.verdict for verdict in verdicts
            if verdict.p is not None and verdict.verdict in DECIDED}


def of_seeds(run: TrainedRun, seeds: Sequence[int]) -> TrainedRun:
    """The run as if it had been trained with these seeds alone."""
    places = [run.seeds.index(seed) for seed in seeds]
    return replace(run, seeds=tuple(seeds), finals={
        key: values for key, values in run.finals.items() if key[0] in seeds},
        scores={name: values[places] for name, values in run.scores.items()})


def simulated(studies: int, alike: bool) -> None:
    """Races of made-up studies.

    Args:
        alike: whether all runs have the same true accuracy, so that every verdict is wrong.
    """
    if alike:
        regret.SPREAD = 1e-6
    rows = []
    for number in range(studies):
        random = np.random.default_rng([number, 7])
        study = regret.simulate(regret.Setting(SEEDS[-1]), random)
        names = list(study.runs)
        pairs = random.permutation([(first, second) for first in range(len(names))
                                    for second in range(first)])[:CLAIMS]
        true = {f"{names[first]} > {names[second]}":
                HOLDS if study.true[first] > study.true[second] else CONTRADICTED
                for first, second in pairs}
        rows.append(_beside(_plan(true), study.runs, range(SEEDS[-1])))
        wrong = [sum(alike or verdict != true[claim] for claim, verdict in spent.decided.items())
                 for spent in rows[-1]]
        print(f"{number}: {_text(*rows[-1])}; wrong {wrong[0]}, {wrong[1]}", flush=True)
    _say_mean(rows)


def replayed(folder: Path, orders: int) -> None:
    """Races of a study that has been trained, in some orders of its seeds."""
    planned = plans.read(folder)
    runs = trained.read(planned.runs, folder)
    seeds = [seed for seed in next(iter(runs.values())).seeds
             if all(seed in run.seeds for run in runs.values())]
    if len(seeds) < SEEDS[1]:
        sys.exit(f"error: {folder}: its runs have {len(seeds)} seeds in common, {SEEDS[1]} are "
                 f"needed, and {SEEDS[-1]} for a race to its end")
    rows = []
    for number in range(orders):
        order = [int(seed) for seed in np.random.default_rng(number).permutation(seeds)]
        rows.append(_beside(replace(planned, race=Race()), runs, order[:SEEDS[-1]]))
        print(f"{number}: {_text(*rows[-1])}", flush=True)
    _say_mean(rows)


def _plan(claims: Iterable[str]) -> Plan:
    return Plan({}, {}, {}, {}, {}, tuple(Claim(claim, "") for claim in claims), {}, {}, {}, {})


def _beside(plan: Plan, runs: Mapping[str, TrainedRun], order: Sequence[int]
            ) -> tuple[Spent, Spent]:
    race = raced(plan, runs, order)
    return race, evenly(plan, runs, order, race.trainings)


def _text(race: Spent, even: Spent) -> str:
    return (f"raced {race.trainings} trainings, {len(race.decided)} decided; evenly "
            f"{even.trainings}, {len(even.decided)}")


def _say_mean(rows: Sequence[tuple[Spent, Spent]]) -> None:
    print(f"mean of {len(rows)}:")
    for which, name in enumerate(("raced", "evenly")):
        trainings, found = (np.array([value(row[which]) for row in rows]) for value in (
            lambda spent: spent.trainings, lambda spent: len(spent.decided)))
        error = found.std(ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else float("nan")
        print(f"  {name:7} {trainings.mean():6.1f} trainings   {found.mean():5.2f} decided "
              f"(standard error {error:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    kinds = parser.add_subparsers(required=True)
    made_up = kinds.add_parser("simulated")
    made_up.add_argument("--studies", type=int, default=40)
    made_up.add_argument("--alike", action="store_true")
    made_up.set_defaults(run=lambda given: simulated(given.studies, given.alike))
    real = kinds.add_parser("replayed")
    real.add_argument("study", type=Path)
    real.add_argument("--orders", type=int, default=20)
    real.set_defaults(run=lambda given: replayed(given.study, given.orders))
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
