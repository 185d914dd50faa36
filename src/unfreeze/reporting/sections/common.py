"""What several sections say in the same way."""

from collections.abc import Mapping

from unfreeze.reporting import cells
from unfreeze.reporting.study import Study
from unfreeze.words import quantity, settings

FOR_THESE_MODELS = "for these models"
NOT_SEARCHED = "not searched"
ONE_SEED = " †"  # behind an interval over test images only


def changes_text(changes: Mapping) -> str:
    """What a run changes, without its seeds, of which tables say how many there are, and without
    its search, of which there is a section."""
    return settings({knob: value for knob, value in changes.items()
                     if knob not in ("seeds", "search", "search_seeds", "search_folds")})


def settings_of(study: Study, run: str) -> str:
    """At which of its settings a run was trained: `lr 0.003 of 4 tried`, or `not searched`."""
    return next((row["settings"] for row in study.rows["costs"] if row["run"] == run),
                NOT_SEARCHED)


def searched(study: Study) -> bool:
    """Whether any run has been searched."""
    return bool(study.plan.searches)


def difference(study: Study, value: float | str) -> str:
    """A difference of the score that the study goes by, such as `1.0 points`."""
    unit = study.score.unit
    return quantity(float(value), "points" if unit == "%" else unit)


def in_words(study: Study, row: Mapping[str, str], cost: str) -> str:
    """A cost of a row that has it, such as `1.2 T operations`."""
    return quantity(float(row[cost]), study.quantities[cost].unit)


def score_text(study: Study, run: str) -> str:
    """`68.5 % (95 % interval 66.2 to 70.8)`, on the test images."""
    row = next(row for row in study.rows["ranking"] if row["run"] == run)
    one_seed = ", over test images only: one seed" if row["interval"] == "images" else ""
    return (f"{quantity(float(row['score']), study.score.unit)} (95 % interval "
            f"{cells.interval_text(row, cells.decimals(study.score.unit))}{one_seed})")
