"""The files of metrics/: what does not depend on a clock, for DVC and for git."""

from collections.abc import Sequence

from unfreeze.expecting.costs import COSTS
from unfreeze.judging.cells import number, p_value
from unfreeze.judging.outcome import Outcome
from unfreeze.judging.runs import TrainedRun
from unfreeze.judging.verdicts import Verdict
from unfreeze.scoring.scores import SCORES

FOLDERS = ("details", "runs")  # a file a run


def contents(outcome: Outcome) -> dict[str, dict]:
    """{file: its content}: score.json, claims.json, and for each run runs/RUN.json and
    details/RUN.json."""
    runs = outcome.runs.values()
    return {
        "score.json": {run.name: run.metrics[outcome.score]["mean"]
                       for run in sorted(outcome.finished, key=lambda run: run.name)
                       if outcome.score in run.metrics},
        "claims.json": claims(outcome.verdicts),
        **{f"runs/{run.name}.json": in_short(run, outcome.score) for run in runs},
        **{f"details/{run.name}.json": run.metrics for run in runs},
    }


def in_short(run: TrainedRun, score: str) -> dict:
    """A run in some lines: means over seeds, and the spread of the score that the study goes by."""
    if run.failed:
        return {"failed": run.failed}
    means = {name: score["mean"] for name, score in run.means.items()}
    return {
        **({score: means.pop(score), f"{score}_std": run.metrics[score]["std"]}
           if score in means else {}),
        **means,
        "seeds": len(run.seeds),
        "settings": run.settings,
        "parameters_trainable": run.cost["parameters_trainable"],
        "operations": run.cost["operations"],
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
