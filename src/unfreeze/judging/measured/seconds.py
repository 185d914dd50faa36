"""A row for each run and seed: the seconds of training that replicate."""

from unfreeze.judging.outcome import Outcome

HEADER = ("run", "seed", "seconds")


def rows(outcome: Outcome) -> list[tuple]:
    return [(run.name, seed, round(seconds, 2)) for run in outcome.runs.values()
            for seed, seconds in run.cost["seconds"].items()]
