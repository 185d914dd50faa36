"""report.md: the answer, the table, the pictures, and how to get them again."""

from unfreeze.reporting import tables


def markdown(plan: dict[str, dict], metrics: dict[str, dict], costs: dict[str, dict]) -> str:
    """The report.

    Args:
        plan: {run: settled knobs}. metrics: {run: scoring.metrics.score}. costs: {run: row of
        tables.COSTS}.
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
augmentation). Training time is for one seed, without validation and testing.

![Accuracy of all runs](plots/accuracy.svg)

![Accuracy against trained parameters](plots/parameters.svg)

![Learning curves](plots/learning_curves.svg)

![Confusion matrix](plots/confusion.svg)

## What was run

Unless a run changes it: `{_knobs_text(defaults)}`.

Machine: {"; ".join(machines)}. The same parameters, code and machine give the same metrics bit \
for bit; `recipes/RUN.yaml` holds all that determines a run but the machine, \
`metrics/details/RUN.json` all of its scores. To repeat: `make repro`.
"""


def _knobs_text(settled: dict) -> str:
    """The knobs of a settled run as in params.yaml; they come before what follows from them."""
    keys = list(settled)
    return tables.changes_text({key: settled[key] for key in keys[:keys.index("changes")]})
