"""A row for each run, part and seed, without failed runs: how far the part's parameters moved from
the pretrained ones."""

from unfreeze.judging.outcome import Outcome

HEADER = ("run", "part", "seed", "distance", "relative_distance")


def rows(outcome: Outcome) -> list[tuple]:
    return [(run.name, *(row[column] for column in HEADER[1:]))
            for run in outcome.finished for row in run.movement]
