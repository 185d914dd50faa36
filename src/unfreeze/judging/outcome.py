"""All that is known of a study when its runs are trained: what metrics/, plots/tables/ and
_made/measured/ are written from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from unfreeze import files, places
from unfreeze.expecting.costs import COSTS
from unfreeze.judging import budget, estimates, verdicts
from unfreeze.judging.budget import Recommendation
from unfreeze.judging.estimates import Intervals
from unfreeze.judging.runs import Rows, TrainedRun, read
from unfreeze.judging.verdicts import Verdict
from unfreeze.params import race
from unfreeze.params.plan import Plan, base
from unfreeze.ranking import table


@dataclass(frozen=True)
class Outcome:
    """What came out of a study.

    Attributes:
        plan: what was planned.
        runs: {run}, as planned.
        intervals: of every run that did not fail.
        verdicts: on each claim, those on measured costs too.
        recommendation: what to take by the counted part of the budget, and by nothing measured.
        measured: what to take by the whole budget.
        confusion: rows of scores/confusion.csv of the run whose mistakes are shown.
        compared: {pair: rows of what the stage compare measured}.
        ranked, ranked_seconds: rows of what the stage rank left, of the models that are scored.
    """

    plan: Plan
    runs: Mapping[str, TrainedRun]
    intervals: Intervals
    verdicts: Sequence[Verdict] = ()
    recommendation: Recommendation | None = None
    measured: Recommendation | None = None
    confusion: Rows = field(default_factory=list)
    compared: Mapping[str, Rows] = field(default_factory=dict)
    ranked: Rows = field(default_factory=list)
    ranked_seconds: Rows = field(default_factory=list)

    @property
    def score(self) -> str:
        """That tables, pictures and the recommendation go by."""
        return self.plan.score

    @property
    def finished(self) -> list[TrainedRun]:
        """The runs that have scores."""
        return [run for run in self.runs.values() if not run.failed]


def judge(plan: Plan, folder: Path = Path(".")) -> Outcome:
    """Read the planned runs and pairs in a study's folder, and judge them.

    Raises:
        UserError: something is missing; or the study is raced, and earlier looks were at models
            that other code trained.
    """
    race.check_code(plan.race, plan.runs, folder)
    found = of_runs(plan, read(plan.runs, folder))
    chosen = found.recommendation.recommended
    shown = chosen.run if chosen else base(found.runs)
    return replace(
        found,
        confusion=files.read_csv(folder / places.RUNS / shown / "scores/confusion.csv"),
        compared={pair: files.read_csv(folder / places.COMPARED / f"{pair}.csv")
                  for pair in plan.compare},
        ranked=_ranked(plan, folder, table.MODELS),
        ranked_seconds=_ranked(plan, folder, table.SECONDS))


def _ranked(plan: Plan, folder: Path, name: str) -> Rows:
    return files.read_csv(folder / places.RANKED / name) if plan.rank else []


def of_runs(plan: Plan, runs: Mapping[str, TrainedRun]) -> Outcome:
    """Judge the planned runs. Where they are raced, by the share of the present look, and with what
    earlier ones decided."""
    intervals = estimates.intervals(runs)
    counted = {cost: most for cost, most in plan.budget.items() if not COSTS[cost].measured}
    recommendation, measured = (
        budget.recommend(runs, limits, intervals, plan.score, plan.margin)
        for limits in (counted, plan.budget))
    raced = plan.race
    return Outcome(
        plan, runs, intervals,
        verdicts=verdicts.judge(plan.claims, runs, plan.not_run, raced.alpha or verdicts.ALPHA,
                                raced.decided, plan.worth, plan.score),
        recommendation=recommendation, measured=measured)
