"""What several sections say in the same way."""

from collections.abc import Mapping

from unfreeze.reporting import cells
from unfreeze.reporting.study import Study
from unfreeze.words import fixed, settings


def percent(value: float | str) -> str:
    return fixed(float(value), 1)


def changes_text(changes: Mapping) -> str:
    """What a run changes, without its seeds, of which tables say how many there are."""
    return settings({knob: value for knob, value in changes.items() if knob != "seeds"})


def accuracy_text(study: Study, row: Mapping[str, str]) -> str:
    """`68.5 % accuracy (95 % interval 66.2 to 70.8)`.

    Args:
        row: of a run, with `run`, `accuracy`, `low` and `high`.
    """
    one_seed = any(other["run"] == row["run"] and other["interval"] == "images"
                   for other in study.rows["accuracy"])
    return (f"{percent(row['accuracy'])} % accuracy (95 % interval "
            f"{cells.interval_text(row, 1)}"
            f"{', over test images only: one seed' if one_seed else ''})")
