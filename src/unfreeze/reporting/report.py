"""report.md: the answer, the table, the pictures, and how to get them again."""

import pandas as pd

from unfreeze.reporting import tables


def markdown(plan: dict[str, dict], metrics: dict[str, dict], costs: dict[str, dict],
             similarity: str) -> str:
    """The report.

    Args:
        plan: {run: settled knobs}. metrics: {run: scoring.metrics.score}. costs: {run: row of
        tables.COSTS}. similarity: the section on pairs of runs, "" for none.
    """
    changes = {run: settled["changes"] for run, settled in plan.items()}
    best = max(metrics, key=lambda run: metrics[run]["accuracy"]["mean"])
    accuracy = metrics[best]["accuracy"]
    settled = list(plan.values())
    defaults = next((run for run in settled if not run["changes"]), settled[0])
    seeds = "one seed" if accuracy["n"] == 1 else f"{accuracy['n']} seeds"
    datasets = ", ".join(sorted({settled["dataset"] for settled in plan.values()}))
    tests = sorted({run["test_images"] for run in metrics.values()})
    machines = sorted({f"{cost['device']} ({cost['precision']})" for cost in costs.values()})
    return f"""# Which fine-tuning strategy is best? {datasets}

Highest mean accuracy: **{best}** ({tables.changes_text(changes[best])}) with \
{tables.spread_text(accuracy, 1)} % over {seeds}, on {" or ".join(map(str, tests))} test images. \
Runs closer to each other than their spread are not to be told apart from this table alone.

{tables.results_markdown(changes, metrics, costs)}
± is the standard deviation over seeds (each with its own subset, initialisation, order and \
augmentation). Stored: what one seed's model adds to the pretrained weights. Activations: what \
autograd keeps for the backward pass of a batch, counted in float32 (`training/cost.py`). Training \
time is for one seed, without validation and testing.

![Accuracy of all runs](plots/accuracy.svg)

![Accuracy against trained parameters](plots/parameters.svg)

![Learning curves](plots/learning_curves.svg)

![Confusion matrix](plots/confusion.svg)

{similarity}## What was run

Unless a run changes it: `{_knobs_text(defaults)}`.

Machine: {"; ".join(machines)}. The same parameters, code and machine give the same metrics bit \
for bit; `recipes/RUN.yaml` holds all that determines a run but the machine, \
`metrics/details/RUN.json` all of its scores. To repeat: `make repro`.
"""


def similarity(table: pd.DataFrame, pairs: dict[str, list[str]]) -> str:
    """The section on pairs of runs, "" where there are none.

    Args:
        table: plots/similarity.csv. pairs: {pair: [run, run]}.
    """
    if not pairs:
        return ""
    found = "\n".join(
        f"**{pair}**: {first} and {second}\n\n"
        f"{_similarity_table(table[table.pair == pair], [first, second])}"
        for pair, (first, second) in pairs.items())
    return f"""## How alike the trained models are

{found}
Means over the seeds that both runs have. Cosine: between corresponding tensors, mean over the \
part's tensors, without the scales of normalisations, which start at 1 and so stay alike in any \
case; unrelated tensors come out near 0. What is new in both runs (the head) has the same random \
start in both, since they share the seed. CKA: linear centred kernel alignment of what the parts \
put out for the same test images, from 0 to 1 (equal up to rotation and scale). Distance: of a \
part's parameters from the pretrained ones, over their norm. Every tensor is in \
`plots/similarity.csv`.

![Similarity of pairs of runs](plots/similarity.svg)

"""


def _similarity_table(table: pd.DataFrame, runs: list[str]) -> str:
    """One pair, part by part: means over seeds, and of cosines over the part's tensors.

    Args:
        table: the rows of plots/similarity.csv of one pair. runs: the two.
    """
    moved = [run for run in runs if (table.run == run).any()]
    columns = ["part", "cosine, biases", "cosine, weights", "CKA",
               *(f"distance of {run}" for run in moved)]
    lines = [f"| {' | '.join(columns)} |", "|---|" + "---:|" * (len(columns) - 1)]
    for part in dict.fromkeys(table.part):
        own = table[table.part == part]
        kernels = own["shape"].fillna("").str.contains("x")
        cells = [_mean_text(own[chosen].value) for chosen in (
            own.kind == "bias", (own.kind == "weight") & kernels, own.measure == "cka")]
        distances = own[own.measure == "relative_distance"]
        cells += [_mean_text(distances[distances.run == run].value) for run in moved]
        lines.append(f"| {part} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _mean_text(values: pd.Series) -> str:
    """Without the undefined; `-` where nothing is left."""
    values = values.dropna()
    return f"{round(values.mean(), 2) + 0.0:.2f}" if len(values) else "-"  # no -0.00


def _knobs_text(settled: dict) -> str:
    """The knobs of a settled run as in params.yaml; they come before what follows from them."""
    keys = list(settled)
    return tables.changes_text({key: settled[key] for key in keys[:keys.index("changes")]})
