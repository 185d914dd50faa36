"""What a report is written from: the plan, and the tables that the stage summarize leaves."""

from dataclasses import dataclass, field
from pathlib import Path

from unfreeze import files, places
from unfreeze.data.reading import arrays
from unfreeze.params import plan as plans
from unfreeze.params.plan import Plan


@dataclass(frozen=True)
class Quantity:
    """What a score or a cost is.

    Attributes:
        kind: "score" or "cost". text: in words. unit: "" for none.
    """

    kind: str
    text: str
    unit: str

    @property
    def title(self) -> str:
        """`cross-entropy (nats)`."""
        return self.text + (f" ({self.unit})" if self.unit else "")


@dataclass(frozen=True)
class Study:
    """A study that has been run.

    Attributes:
        plan: what was to be done.
        details: {run: metrics/details/RUN.json}.
        rows: {NAME: rows of plots/tables/NAME.csv}.
        cards: {dataset: its card.json}.
        folder: where it lies, seen from the repository's root.
    """

    plan: Plan
    details: dict[str, dict]
    rows: dict[str, list[dict[str, str]]]
    cards: dict[str, dict] = field(default_factory=dict)
    folder: str = "."

    @property
    def datasets(self) -> list[str]:
        return sorted({run.knobs["dataset"] for run in self.plan.runs.values()})

    @property
    def failed(self) -> dict[str, str]:
        """{run: why}, of the runs without scores."""
        return {run: metrics["failed"] for run, metrics in self.details.items()
                if "failed" in metrics}

    @property
    def shown(self) -> str | None:
        """The run whose mistakes are shown: the plan's base; None if that failed."""
        run = plans.base(self.plan.runs)
        return None if run in self.failed else run

    @property
    def quantities(self) -> dict[str, Quantity]:
        """{score or cost: what it is}."""
        return {row["name"]: Quantity(row["kind"], row["text"], row["unit"])
                for row in self.rows["quantities"]}


def read(root: Path, folder: str = ".") -> Study:
    """Read a study.

    Args:
        root: where it lies. folder: of Study.

    Raises:
        UserError: the plan is missing, or is of another version; or a dataset's card is missing.
    """
    plan = plans.read(root)
    return Study(
        plan=plan,
        details={run: files.read_json(root / places.METRICS / f"details/{run}.json")
                 for run in plan.runs},
        rows={path.stem: files.read_csv(path)
              for path in sorted((root / places.TABLES).glob("*.csv"))},
        cards={name: arrays.read_card(root / places.DATA / name) for name in plan.datasets},
        folder=folder,
    )
