"""The scores, costs and curves of all planned runs, as tidy tables."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from unfreeze import files, places
from unfreeze.judging.statistics import Effect
from unfreeze.params.knobs import KNOBS

Intervals = dict[str, dict[str, Effect]]  # of a run and a metric, as of estimates.intervals


@dataclass(frozen=True)
class Run:
    """What a finished run left behind.

    Attributes:
        name: of the run.
        settled: its entry in plan/runs.yaml.
        metrics: metrics.json.
        cost: cost.json.
        history, calibration, movement: rows of the CSV files of these names.
    """

    name: str
    settled: dict
    metrics: dict
    cost: dict
    history: list[dict[str, str]]
    calibration: list[dict[str, str]]
    movement: list[dict[str, str]]

    @property
    def failed(self) -> str | None:
        """Why it has no scores."""
        return self.metrics.get("failed")


def read_runs(planned: dict[str, dict], folder: Path) -> list[Run]:
    """The planned runs, in that order; folders of other runs are not looked at.

    Args:
        planned: content of plan/runs.yaml.
    """
    return [
        Run(name, settled, *(files.read_json(folder / name / f"{file}.json")
                             for file in ("scores/metrics", "cost")),
            *(files.read_csv(folder / name / f"{file}.csv")
              for file in ("history", "scores/calibration", "movement")))
        for name, settled in planned.items()
    ]


def base(names: Iterable[str]) -> str:
    """The run whose confusion matrix is shown: `base`, or the first where there is none."""
    names = list(names)
    return "base" if "base" in names else names[0]


ACCURACY = ("run", "accuracy", "std", "low", "high", "replicates", "images", "interval", "seeds")


def accuracy_rows(runs: list[Run], own: Intervals) -> list[tuple]:
    """A row a run, best first, without the failed: mean accuracy over seeds and its 95 % interval,
    what that is over, and each seed's accuracy, with spaces between (a list in a table's cell)."""
    rows = []
    for run in runs:
        if not run.failed:
            accuracy, effect = run.metrics["accuracy"], own[run.name]["accuracy"]
            rows.append((run.name, accuracy["mean"], accuracy["std"],
                         *(round(end, 4) for end in (effect.low, effect.high)), accuracy["n"],
                         effect.images, "images" if effect.seeds == 1 else "seeds and images",
                         " ".join(map(str, accuracy["seeds"].values()))))
    return sorted(rows, key=lambda row: (-row[1], row[0]))


SCORES = ("run", "metric", "mean", "std", "low", "high", "n")


def score_rows(runs: list[Run], own: Intervals) -> list[tuple]:
    """A row for each run and score; a 95 % interval for the scores that have one. The calibration
    error has none: it is biased upwards, and an interval around it would miss the truth."""
    return [
        (run.name, name, score["mean"], score["std"],
         *((round(own[run.name][name].low, 4), round(own[run.name][name].high, 4))
           if name in own[run.name] and name != "ece" else (None, None)), score["n"])
        for run in runs if not run.failed
        for name, score in run.metrics.items() if isinstance(score, dict) and "mean" in score
    ]


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


WALL_CLOCK = ("run", "seed", "epoch", "seconds", "accuracy")


def wall_clock_rows(runs: list[Run]) -> list[tuple]:
    """A row for each run, seed and epoch: validation accuracy in percent, after so many seconds of
    training."""
    rows = []
    for run in runs:
        seconds: dict[str, float] = {}
        for row in run.history:
            seconds[row["seed"]] = seconds.get(row["seed"], 0.0) + float(row["seconds"])
            if row["validation_accuracy"] and not run.failed:
                rows.append((run.name, row["seed"], row["epoch"], round(seconds[row["seed"]], 3),
                             round(100 * float(row["validation_accuracy"]), 4)))
    return rows


FRACTIONS = ("series", "init", "run", "fraction", "accuracy", "low", "high")


def fraction_rows(runs: list[Run], own: Intervals) -> list[tuple]:
    """A row for each run that differs from another in nothing but the share of the data that it was
    given, and its seeds; smaller shares first. A series is named by what it changes besides."""
    alike: dict[str, list[Run]] = {}
    for run in runs:
        if not run.failed:
            rest = {knob: run.settled[knob] for knob in KNOBS if knob not in ("fraction", "seeds")}
            alike.setdefault(json.dumps(rest, sort_keys=True), []).append(run)
    rows = []
    for series in alike.values():
        if len({run.settled["fraction"] for run in series}) > 1:
            changes = {knob: value for knob, value in series[0].settled["changes"].items()
                       if knob not in ("fraction", "seeds")}
            for run in sorted(series, key=lambda run: run.settled["fraction"]):
                effect = own[run.name]["accuracy"]
                rows.append((changes_text(changes), run.settled["init"], run.name,
                             run.settled["fraction"],
                             *(round(each, 4) for each in (effect.mean, effect.low, effect.high))))
    return rows


RELIABILITY = ("run", "scaled", "bin", "images", "confidence", "accuracy")


def reliability_rows(runs: list[Run]) -> list[tuple]:
    """A row for each run, before and after temperature scaling, and each bin of confidence with
    images: how many over all seeds, their mean confidence and their accuracy, in percent."""
    rows = []
    for run in runs:
        totals: dict[tuple, list[float]] = {}
        for row in run.calibration:
            if images := int(row["images"]):
                total = totals.setdefault((row["scaled"], row["bin"]), [0, 0.0, 0.0])
                total[0] += images
                total[1] += images * float(row["confidence"])
                total[2] += images * float(row["accuracy"])
        rows += [(run.name, *place, images, *(round(each / images, 4) for each in sums))
                 for place, (images, *sums) in totals.items()]
    return rows


CONFUSION = ("actual", "predicted", "images", "percent")


def confusion_rows(confusion: list[dict[str, str]]) -> list[tuple]:
    """A row for each pair of classes: images over all seeds, and their share of the true class.

    Args:
        confusion: rows of a run's scores/confusion.csv.
    """
    totals: dict[str, int] = {}
    for row in confusion:
        totals[row["actual"]] = totals.get(row["actual"], 0) + int(row["images"])
    return [
        (row["actual"], row["predicted"], row["images"],
         round(100 * int(row["images"]) / max(totals[row["actual"]], 1), 2))
        for row in confusion
    ]


CONFUSED = ("run", "actual", "predicted", "percent")


def confused_rows(runs: list[Run]) -> list[tuple]:
    """A row for each of a run's likeliest mistakes: the share of the true class's images."""
    return [(run.name, *pair) for run in runs for pair in run.metrics.get("confused", [])]


MOVEMENT = ("run", "part", "seed", "distance", "relative_distance")


def movement_rows(runs: list[Run]) -> list[tuple]:
    """A row for each run, part and seed: how far its parameters moved from the pretrained ones."""
    return [(run.name, *(row[field] for field in MOVEMENT[1:]))
            for run in runs if not run.failed for row in run.movement]


COSTS = ("run", "accuracy", "std", "parameters_total", "parameters_trainable", "stored_mb",
         "activation_mb_1", "activation_mb", "gflops_forward", "gflops_backward",
         "seconds_per_replicate", "images_per_second", "peak_memory_mb", "device", "precision")


def cost_rows(runs: list[Run]) -> list[tuple]:
    """A row a run: what it reached and what it cost. Seconds and peak memory are this machine's;
    parameters, operations (per image) and activation memory are not."""
    return [
        (run.name, *(run.metrics.get("accuracy", {}).get(key) for key in ("mean", "std")),
         run.cost["parameters_total"], run.cost["parameters_trainable"],
         *(round(run.cost[key] / 1e6, 2)
           for key in ("stored_bytes", "activation_bytes_1", "activation_bytes")),
         *(round(run.cost[key] / 1e9, 4) for key in ("flops_forward", "flops_backward")),
         round(run.cost["seconds_per_replicate"], 1), round(run.cost["images_per_second"], 1),
         round(run.cost["peak_memory_bytes"] / 1e6), run.cost["device"], run.cost["precision"])
        for run in runs
    ]


PAIRS = places.COMPARED / "pairs.yaml"  # {pair: [run, run]}, the planned pairs


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
    if run.failed:
        return {"failed": run.failed}
    means = {name: score["mean"] for name, score in run.metrics.items()
             if isinstance(score, dict) and "mean" in score}
    return {
        "accuracy": means.pop("accuracy"),
        "accuracy_std": run.metrics["accuracy"]["std"],
        **means,
        "seeds": run.metrics["accuracy"]["n"],
        "parameters_trainable": run.cost["parameters_trainable"],
    }


def changes_text(changes: dict) -> str:
    """`freeze: early, lr: 0.01`, as in params.yaml; "the defaults" for none."""
    def text(value: object) -> str:
        return value if isinstance(value, str) else json.dumps(value).replace('"', "")

    return ", ".join(f"{key}: {text(value)}" for key, value in changes.items()) or "the defaults"
