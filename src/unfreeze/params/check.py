"""Is a value allowed?"""

import re
from typing import Any

from unfreeze.errors import Fault, UserError, nearest, shortened
from unfreeze.params.knob import Allowed

_DEPTH, _SIZE = 30, 100_000
_SHOWN = 200  # characters of a value


def check(name: str, allowed: Allowed, value: Any) -> None:
    """Raise a Fault of a knob, or of what else has that name, unless its value is allowed."""
    if allowed.fits(value):
        return
    if allowed.number and isinstance(value, str):
        number = _as_number(value)
        if allowed.fits(number):
            text = repr(number)  # YAML wants a dot in a number with an exponent
            text = text.replace("e", ".0e") if "e" in text and "." not in text else text
            raise Fault(name, f"{value!r} is text to YAML, not a number; write {text}")
    near = nearest(value, allowed.words.split(", ")) if isinstance(value, str) else ""
    raise Fault(name, f"{_shown(value)} is not allowed{near}; allowed: {allowed.words}")


def check_size(content: Any) -> None:
    """Raise UserError for what is nested deeper than any knob, or grows without end because an
    anchor of YAML contains itself."""
    waiting, seen = [(content, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if depth > _DEPTH or seen > _SIZE:
            raise UserError("is nested too deeply, or an anchor in it (&name) contains itself")
        inner = (value.values() if isinstance(value, dict) else
                 value if isinstance(value, list) else ())
        waiting += [(item, depth + 1) for item in inner]


def numbers(value: Any) -> Any:
    """Text that DVC wrote for a number, as a number. `dvc exp run -S lr=0.00001` writes Python's
    own spelling, 1e-05, which YAML takes for text as long as it has no dot."""
    if isinstance(value, dict):
        return {key: numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [numbers(inner) for inner in value]
    if isinstance(value, str) and re.fullmatch(r"\de[-+]\d+", value):
        number = float(value)
        return number if repr(number) == value else value
    return value


def _as_number(text: str) -> int | float | None:
    """The number that a text spells in Python, or None."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return None


def _shown(value: Any) -> str:
    try:
        return shortened(repr(value), _SHOWN)
    except ValueError:  # Python prints no whole number of more than 4,300 digits
        return "a number of thousands of digits"
