"""Choices at the end of what was tried: the best setting may lie beyond."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from unfreeze import words
from unfreeze.errors import Fault
from unfreeze.params.check import check
from unfreeze.params.knob import is_integer, is_number
from unfreeze.params.knobs import KNOBS

_STEP = 2.0, 10.0  # by which what is to be added differs from what was tried, at least and at most
_MANTISSAS = (1, 2, 3, 5, 10)


def at_edge(chosen: Mapping[str, Any], tried: Sequence[Mapping[str, Any]],
            drawn_from: Mapping[str, Sequence[float]] = MappingProxyType({})) -> list[str]:
    """A sentence for each knob whose chosen value is the highest or the lowest of those tried, with
    what to add.

    Args:
        chosen: values of the searched knobs. tried: those of every candidate.
        drawn_from: {knob: the lowest and the highest that could have been drawn}.
    """
    sentences = []
    for knob, value in chosen.items():
        others = {values[knob] for values in tried if is_number(values[knob])}
        if not is_number(value) or len(others) < 2 or value not in (min(others), max(others)):
            continue
        further = beyond(value, sorted(others))
        if further is not None and _allowed(knob, further):
            end = "highest" if value == max(others) else "lowest"
            said = f"{words.settings({knob: value})} is the {end} of {len(others)}"
            sentences.append(
                f"{said} {_drawn(further, drawn_from[knob])}" if knob in drawn_from else
                f"{said} tried; add {words.settings({knob: further})} to its search")
    return sentences


def _drawn(further: float, ends: Sequence[float]) -> str:
    low, high = ends
    inside = low <= further <= high
    return f"drawn from {low} to {high}; " + (
        "draw more trials" if inside else f"let it reach to {further}")


def beyond(value: float, tried: Sequence[float]) -> float | None:
    """A round number as far beyond an end of some numbers as they lie apart from each other, by
    their ratios; None where there is none, as below 0.

    Args:
        value: the first or the last. tried: at least two, sorted.
    """
    positive = [each for each in tried if each > 0]
    if value <= 0 or not positive:
        return None
    steps = max(1, len(positive) - 1)
    least, most = _STEP
    step = min(max(least, (positive[-1] / positive[0]) ** (1 / steps)), most)
    whole = all(is_integer(each) for each in tried)
    further = _round(value * step if value == tried[-1] else value / step)
    if whole:
        further = round(further)
    return None if further == value or further <= 0 else further


def _round(number: float) -> float:
    """The nearest, by their ratio, of 1, 2, 3 and 5 times a power of ten."""
    power = math.floor(math.log10(number))
    mantissa = min(_MANTISSAS, key=lambda each: abs(math.log10(number) - power - math.log10(each)))
    return float(f"{mantissa}e{power}")


def _allowed(knob: str, value: float) -> bool:
    try:
        check(knob, KNOBS[knob].allowed, value)
    except Fault:
        return False
    return True
