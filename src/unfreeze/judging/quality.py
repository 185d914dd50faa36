"""The files of metrics/: what does not depend on a clock, for DVC and for git."""

from collections.abc import Sequence

from unfreeze.expecting.costs import COSTS
from unfreeze.judging.cells import number, p_value
from unfreeze.judging.outcome import Outcome
from unfreeze.judging.runs import TrainedRun
from unfreeze.judging.verdicts import Verdict
from unfreeze.scoring.scores import SCORES


def contents(outcome: Outcome) -> dict[str, dict]:
    """{file: its content}: accuracy.json, claims.json, and for each run runs/RUN.json and
    details/RUN.json."""
    runs = outcome.runs.values()
    return {
        "accuracy.json": {run.name: run.metrics["accuracy"]["mean"]
                          for run in sorted(outcome.finished, key=lambda run: run.name)},
        "claims.json": claims(outcome.verdicts),
        **{f"runs/{run.name}.json": in_short(run) for run in runs},
        **{f"details/{run.name}.json": run.metrics for run in runs},
    }


def in_short(run: TrainedRun) -> dict:
    """A run in some lines: means over seeds, and the spread of the accuracy."""
    if run.failed:
        return {"failed": run.failed}
    means = {name: score["mean"] for name, score in run.means.items()}
    return {
        "accuracy": means.pop("accuracy"),
        "accuracy_std": run.metrics["accuracy"]["std"],
        **means,
        "seeds": run.metrics["accuracy"]["n"],
        "parameters_trainable": run.cost["parameters_trainable"],
    }


def claims(verdicts: Sequence[Verdict]) -> dict[str, dict]:
    """By the text of the claim; p is the corrected one. Measured costs are left out."""
    return {
        verdict.claim: {
            "verdict": verdict.verdict,
            "p": p_value(verdict.p_corrected),
            "quantity": verdict.quantity,
            "unit": verdict.unit,
            "comparisons": [
                {"text": finding.text, "verdict": finding.verdict,
                 "effect": number(finding.effect), "low": number(finding.low),
                 "high": number(finding.high)} for finding in verdict.comparisons],
        }
        for verdict in sorted(verdicts, key=lambda verdict: verdict.claim)
        if verdict.quantity in SCORES or not COSTS[verdict.quantity].measured
    }
