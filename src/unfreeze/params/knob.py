"""What a knob of params.yaml is. No torch: plan checks every knob in no time.

A knob is declared once. The general ones stand in params/knobs.py; one that belongs to a way of
tuning, a head, a schedule or an augmentation stands in the file of that, in its KNOBS.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

LARGEST = 2**31 - 1  # what a whole number may be
# Bytes that a layer holds for one output, at least: float32 of the 256 inputs that any model has.
LEAST_ROW = 4 * 256


@dataclass(frozen=True)
class Allowed:
    """What a value may be, in words for an error and as a test.

    Attributes:
        words: such as "a whole number, 1 or more"; for a choice its names, with ", " between.
        fits: whether a value is allowed.
        number: whether a text that spells a number is probably meant as one.
    """

    words: str
    fits: Callable[[Any], bool]
    number: bool = False


@dataclass(frozen=True)
class Makes:
    """What takes memory by a knob's value alone.

    Attributes:
        words: such as "a hidden layer". least_bytes: of a value: what it takes, at least.
    """

    words: str
    least_bytes: Callable[[Any], int]


@dataclass(frozen=True)
class Knob:
    """A knob.

    Attributes:
        name: in params.yaml, in recipes, and in the code that reads it.
        default: where params.yaml does not set it.
        allowed: what it may be.
        help: one line for the comment in params.yaml.
        unit: of its value, such as "pixels"; "" for none.
        phase: whether an entry of `phases` may set it; what a schedule declares it always may.
        training: whether a replicate's training reads it from its recipe; others act through the
            subset, the weights and the preprocessing that the recipe names.
        read_with: {other knob: the values of it with which this one has an effect}. What stands in
            a file of its own (tuning/methods/lora.py) is read with that (tune: lora).
        idle_with: {other knob: the values of it with which this one has none}.
        at_most: another knob, in the same unit, which the value may not exceed; "": none.
        makes: what may not fit into memory; None where nothing grows with the value.
        searchable: whether `search` may name it: not what decides which images there are, nor how
            the search itself goes.
        by_factors: whether its values are compared by factors, so that a search draws their
            logarithm evenly between two ends above 0.
        with_search: whether only a run that searches reads it.
    """

    name: str
    default: Any
    allowed: Allowed
    help: str
    unit: str = ""
    phase: bool = False
    training: bool = True
    read_with: Mapping[str, frozenset] = field(default_factory=dict)
    idle_with: Mapping[str, frozenset] = field(default_factory=dict)
    at_most: str = ""
    makes: Makes | None = None
    searchable: bool = True
    by_factors: bool = False
    with_search: bool = False


def is_number(value: Any) -> bool:
    """A finite number; true and false are none."""
    # The comparison also turns away nan, infinities and whole numbers too large for a float.
    return (isinstance(value, int | float) and not isinstance(value, bool)
            and abs(value) <= sys.float_info.max)


def is_integer(value: Any) -> bool:
    """A whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_names(value: Any) -> bool:
    """A list of texts, perhaps empty."""
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def number(words: str, fits: Callable[[float], bool]) -> Allowed:
    return Allowed(words, lambda value: is_number(value) and fits(value), number=True)


def whole(low: int) -> Allowed:
    return Allowed(f"a whole number, {low} or more (at most {LARGEST})",
                   lambda value: is_integer(value) and low <= value <= LARGEST, number=True)


def choice(*names: str) -> Allowed:
    return Allowed(", ".join(names), lambda value: isinstance(value, str) and value in names)


def either(word: str, other: Allowed) -> Allowed:
    """A word, or what else is allowed."""
    return Allowed(f"{word}, or {other.words}", lambda value: value == word or other.fits(value),
                   number=other.number)


SWITCH = Allowed("true, false", lambda value: isinstance(value, bool))
FRACTION = number("a number above 0 and at most 1", lambda value: 0 < value <= 1)
BELOW_ONE = number("a number from 0 up to but not including 1", lambda value: 0 <= value < 1)
NOT_NEGATIVE = number("a number, 0 or more", lambda value: value >= 0)
POSITIVE = number("a number above 0", lambda value: value > 0)
PERCENT = number("percent, a number from 0 to 100", lambda value: 0 <= value <= 100)
