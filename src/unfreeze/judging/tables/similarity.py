"""The rows of every pair's _made/compared/PAIR.csv, under the pair's name."""

from unfreeze.judging.outcome import Outcome

HEADER = ("pair", "seed", "measure", "part", "kind", "tensor", "shape", "run", "value")


def rows(outcome: Outcome) -> list[tuple]:
    return [(pair, *(row[column] for column in HEADER[1:]))
            for pair, measured in outcome.compared.items() for row in measured]
