"""The scores, costs and curves of all planned runs, as tidy tables."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from unfreeze import files


@dataclass(frozen=True)
class Run:
    """What a finished run left behind.

    Attributes:
        name: of the run.
        changes: {knob: value} that it overrides.
        metrics: of scoring.metrics.score.
        cost: cost.json.
        history: rows of history.csv.
        confusion: rows of confusion.csv.
    """

    name: str
    changes: dict
    metrics: dict
    cost: dict
    history: list[dict[str, str]]
    confusion: list[dict[str, str]]


def read_runs(plan: Path, runs: Path) -> list[Run]:
    """The planned runs, in the order of params.yaml; folders of other runs are not looked at."""
    return [
        Run(
            name=name,
            changes=settled["changes"],
            metrics=files.read_json(runs / name / "metrics.json"),
            cost=files.read_json(runs / name / "cost.json"),
            history=files.read_csv(runs / name / "history.csv"),
            confusion=files.read_csv(runs / name / "confusion.csv"),
        )
        for name, settled in files.read_yaml(plan / "runs.yaml").items()
    ]


def base(names: Iterable[str]) -> str:
    """The run whose confusion matrix is shown: `base`, or the first where there is none."""
    names = list(names)
    return "base" if "base" in names else names[0]


ACCURACY = ("run", "accuracy", "std", "low", "high", "replicates")


def accuracy_rows(runs: list[Run]) -> list[tuple]:
    """A row a run, best first: mean accuracy over seeds and one standard deviation either way."""
    rows = []
    for run in runs:
        accuracy = run.metrics["accuracy"]
        mean, std = accuracy["mean"], accuracy["std"] or 0.0
        rows.append((run.name, mean, accuracy["std"], round(mean - std, 4), round(mean + std, 4),
                     accuracy["n"]))
    return sorted(rows, key=lambda row: (-row[1], row[0]))


CURVES = ("run", "seed", "epoch", "split", "loss", "accuracy")


def curve_rows(runs: list[Run]) -> list[tuple]:
    """A row for each run, seed, epoch and split; accuracy in percent."""
    return [
        (run.name, row["seed"], row["epoch"], split, round(float(row[f"{split}_loss"]), 6),
         round(100 * float(row[f"{split}_accuracy"]), 4))
        for run in runs
        for row in run.history
        for split in ("train", "validation")
        if row[f"{split}_loss"]
    ]


CONFUSION = ("actual", "predicted", "images", "percent")


def confusion_rows(run: Run) -> list[tuple]:
    """A row for each pair of classes: images over all seeds, and their share of the true class."""
    totals: dict[str, int] = {}
    for row in run.confusion:
        totals[row["actual"]] = totals.get(row["actual"], 0) + int(row["images"])
    return [
        (row["actual"], row["predicted"], row["images"],
         round(100 * int(row["images"]) / max(totals[row["actual"]], 1), 2))
        for row in run.confusion
    ]


COSTS = ("run", "accuracy", "std", "parameters_total", "parameters_trainable", "stored_mb",
         "activation_mb_1", "activation_mb", "gflops_forward", "gflops_backward",
         "seconds_per_replicate", "images_per_second", "peak_memory_mb", "device", "precision")


def cost_rows(runs: list[Run]) -> list[tuple]:
    """A row a run: what it reached and what it cost. Seconds and peak memory are this machine's;
    parameters, operations (per image) and activation memory are not."""
    return [
        (run.name, run.metrics["accuracy"]["mean"], run.metrics["accuracy"]["std"],
         run.cost["parameters_total"], run.cost["parameters_trainable"],
         *(round(run.cost[key] / 1e6, 2)
           for key in ("stored_bytes", "activation_bytes_1", "activation_bytes")),
         *(round(run.cost[key] / 1e9, 4) for key in ("flops_forward", "flops_backward")),
         round(run.cost["seconds_per_replicate"], 1), round(run.cost["images_per_second"], 1),
         round(run.cost["peak_memory_bytes"] / 1e6), run.cost["device"], run.cost["precision"])
        for run in runs
    ]


PAIRS = Path("compared/pairs.yaml")  # {pair: [run, run]}, the planned pairs


def pair_file(pair: str) -> Path:
    """Where the stage compare leaves what it measured."""
    return PAIRS.with_name(f"{pair}.csv")


SIMILARITY = ("pair", "seed", "measure", "part", "kind", "tensor", "shape", "run", "value")


def similarity_rows(compared: dict[str, list[dict[str, str]]]) -> list[tuple]:
    """The rows of every pair's compared/PAIR.csv, under the pair's name."""
    return [(pair, *(row[field] for field in SIMILARITY[1:]))
            for pair, rows in compared.items() for row in rows]


def run_metrics(run: Run) -> dict:
    """A run in one line: means over seeds, and the spread of the accuracy."""
    return {
        "accuracy": run.metrics["accuracy"]["mean"],
        "accuracy_std": run.metrics["accuracy"]["std"],
        **({"top5": run.metrics["top5"]["mean"]} if "top5" in run.metrics else {}),
        "cross_entropy": run.metrics["cross_entropy"]["mean"],
        "seeds": run.metrics["accuracy"]["n"],
        "parameters_trainable": run.cost["parameters_trainable"],
    }


def changes_text(changes: dict) -> str:
    """`freeze: early, lr: 0.01`, as in params.yaml; "the defaults" for none."""
    def text(value: object) -> str:
        return value if isinstance(value, str) else json.dumps(value).replace('"', "")

    return ", ".join(f"{key}: {text(value)}" for key, value in changes.items()) or "the defaults"


def results_markdown(changes: dict[str, dict], metrics: dict[str, dict],
                     costs: dict[str, dict]) -> str:
    """The table of results, best first.

    Args:
        changes: {run: overrides}. metrics: {run: scoring.metrics.score}. costs: {run: row of
        COSTS}.
    """
    lines = [
        "| run | what it changes | accuracy (%) | cross-entropy | seeds | trained parameters "
        "| stored (MB) | activations (MB) | training time (s) |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for run in sorted(metrics, key=lambda run: (-metrics[run]["accuracy"]["mean"], run)):
        own, cost = metrics[run], costs[run]
        shown = {key: value for key, value in changes[run].items() if key != "seeds"}
        lines.append(
            f"| {run} | {changes_text(shown)} | {spread_text(own['accuracy'], 1)} "
            f"| {spread_text(own['cross_entropy'], 2)} | {own['accuracy']['n']} "
            f"| {int(cost['parameters_trainable']):,} "
            f"| {float(cost['stored_mb']):.1f} | {float(cost['activation_mb']):.0f} "
            f"| {float(cost['seconds_per_replicate']):.0f} |"
        )
    return "\n".join(lines) + "\n"


def spread_text(measure: dict, digits: int) -> str:
    """`73.3 ± 1.3`, or `73.3` where one seed has no spread."""
    std = "" if measure["std"] is None else f" ± {measure['std']:.{digits}f}"
    return f"{measure['mean']:.{digits}f}{std}"
