"""A row for each pair of runs, part and measure: the mean over the seeds that both have, and over
the part's tensors. Measures:

    cosine_biases, cosine_weights   between corresponding tensors; without the scales of
                                    normalisations, which start at 1 and so stay alike in any case
    cka                             linear centred kernel alignment
    relative_distance               of one run's part from the pretrained one; `run` says whose
"""

from unfreeze.judging.cells import number
from unfreeze.judging.outcome import Outcome

HEADER = ("pair", "part", "measure", "run", "value")


def rows(outcome: Outcome) -> list[tuple]:
    values: dict[tuple[str, str, str, str], list[float]] = {}
    for pair, measured in outcome.compared.items():
        for row in measured:
            measure = _measure(row)
            if measure:
                numbers = values.setdefault((pair, row["part"], measure, row["run"]), [])
                numbers += [float(row["value"])] if row["value"] else []  # else undefined
    return [(*key, number(sum(numbers) / len(numbers)) if numbers else None)
            for key, numbers in values.items()]


def _measure(row: dict[str, str]) -> str | None:
    if row["measure"] in ("cka", "relative_distance"):
        return row["measure"]
    if row["kind"] == "bias":
        return "cosine_biases"
    is_matrix = row["kind"] == "weight" and "x" in row["shape"]  # scales are vectors
    return "cosine_weights" if is_matrix else None
