"""What a report is written from: the plan, and the tables that the stage summarize leaves."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unfreeze import among, files, places
from unfreeze.data.reading import arrays
from unfreeze.params import plan as plans
from unfreeze.params.plan import Plan

Rows = list[dict[str, str]]  # of a table


@dataclass(frozen=True)
class Quantity:
    """What a score or a cost is.

    Attributes:
        kind: "score" or "cost". text: in words. unit: "" for none. better: "higher" or "lower".
        measured: whether it depends on the machine and its clock.
    """

    kind: str
    text: str
    unit: str
    better: str = "higher"
    measured: bool = False

    @property
    def title(self) -> str:
        """`cross-entropy (nats)`."""
        return self.text + (f" ({self.unit})" if self.unit else "")


@dataclass(frozen=True)
class Images:
    """How many images a replicate of a run was given.

    Attributes:
        train_of_class: of each class to train on, in the order of its dataset's card.
    """

    train: int
    validation: int
    test: int
    train_of_class: tuple[int, ...] = ()


@dataclass(frozen=True)
class Study:
    """A study that has been run.

    Attributes:
        plan: what was to be done.
        details: {run: metrics/details/RUN.json}.
        rows: {NAME: rows of plots/tables/NAME.csv}; nothing in them is measured.
        measured: {NAME: rows of _made/measured/NAME.csv}.
        cards: {dataset: its card.json}.
        images: {run: of its first seed}.
        folder: where it lies, seen from the repository's root.
    """

    plan: Plan
    details: dict[str, dict]
    rows: dict[str, Rows]
    measured: dict[str, Rows] = field(default_factory=dict)
    cards: dict[str, dict] = field(default_factory=dict)
    images: dict[str, Images] = field(default_factory=dict)
    folder: str = "."

    @property
    def dataset_names(self) -> list[str]:
        """What the user calls the datasets."""
        return sorted({self.plan.title(run.knobs["dataset"]) for run in self.plan.runs.values()})

    @property
    def score(self) -> Quantity:
        """What runs are ranked by."""
        return self.quantities[self.plan.score]

    @property
    def place_of_photos(self) -> Path:
        """Where pictures that are made of images lie."""
        private = any(map(self.plan.is_private, self.plan.datasets))
        return places.PICTURES if private else places.CHARTS

    @property
    def failed(self) -> dict[str, str]:
        """{run: why}, of the runs without scores."""
        return {run: metrics["failed"] for run, metrics in self.details.items()
                if "failed" in metrics}

    @property
    def shown(self) -> str | None:
        """The run whose mistakes are shown: the recommended one, or where none is the plan's base;
        None if that failed."""
        run = next((row["run"] for row in self.rows["recommendation"]
                    if row["recommended"] == "yes"), plans.base(self.plan.runs))
        return None if run in self.failed else run

    @property
    def quantities(self) -> dict[str, Quantity]:
        """{score or cost: what it is}."""
        return {row["name"]: Quantity(row["kind"], row["text"], row["unit"], row["better"],
                                      row["measured"] == "yes")
                for row in self.rows["quantities"]}

    @property
    def measured_budget(self) -> list[str]:
        """The costs of the budget that are measured."""
        return [cost for cost in self.plan.budget if self.quantities[cost].measured]


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
        rows=_tables(root / places.TABLES),
        measured=_tables(root / places.MEASURED),
        cards={name: arrays.read_card(root / places.DATA / name) for name in plan.datasets},
        images={run: _images(root, settled) for run, settled in plan.runs.items()},
        folder=folder,
    )


def _images(root: Path, run: plans.Run) -> Images:
    indices = files.read_json(root / places.SUBSETS / next(iter(run.subsets.values())))
    train, validation = indices["train"], indices["validation"]
    if run.training_knobs.get("train_on") == "all":
        train, validation = train + validation, []
    dataset = root / places.DATA / run.knobs["dataset"]
    labels = arrays.load_labels(dataset)["train"][train]
    of_class = np.bincount(labels, minlength=len(arrays.read_card(dataset)["classes"]))
    return Images(len(train), len(validation), len(indices["test"]), tuple(map(int, of_class)))


def _tables(folder: Path) -> dict[str, Rows]:
    """Those that a stage has made; where it keeps no list of them, all."""
    made = among.made(folder)
    return {path.stem: files.read_csv(path) for path in sorted(folder.glob("*.csv"))
            if path.name in made or not made}
