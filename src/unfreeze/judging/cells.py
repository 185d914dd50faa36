"""Numbers and answers as the cells of a CSV or JSON file hold them."""

from collections.abc import Sequence

from unfreeze.judging.budget import Estimate
from unfreeze.judging.statistics import Effect


def number(value: float | None) -> float | int | None:
    """Four decimals, none where there is no fraction."""
    if value is None:
        return None
    whole = float(value).is_integer() and abs(value) < 2**53  # beyond that readers make text of it
    return int(value) if whole else round(float(value), 4) + 0.0


def mean(values: Sequence[float]) -> float | int | None:
    """Of some numbers; None of none."""
    return number(sum(values) / len(values)) if values else None


def p_value(value: float | None) -> float | None:
    """Three digits."""
    return None if value is None else float(f"{value:.3g}")


def interval(effect: Effect | Estimate | None) -> tuple[float | int | None, ...]:
    """Mean, lower and upper end; three times nothing for None."""
    if effect is None:
        return None, None, None
    return number(effect.mean), number(effect.low), number(effect.high)


def yes(value: bool) -> str:
    return "yes" if value else "no"
