"""Numbers and knobs as text: the report, charts, logs and errors write them here, nowhere else.

    quantity(9_083_412, "bytes")        9.08 MB
    quantity(23.46, "s")                23.5 s
    quantity(2_236_682, "parameters")   2,236,682 parameters
    quantity(1.7, "points", sign=True)  +1.7 points
    apart(100.04, 100, "s")             100.04 s, 100 s
    interval(66.81, 70.49, "%")         66.8 to 70.5   (beside a value that has the unit)
    fixed(-0.001, 2)                    0.00           (in a column)
    number(0.0000123)                   0.0000123      (a learning rate)
    share(0.95)                         95 %
    p_value(0.0018)                     0.002
    count(1, "run"), count(1200, "run") 1 run, 1,200 runs
    about(12_345)                       13,000
    settings({"freeze": {"last": 2}})   freeze: {last: 2}

Three digits say what a study can tell; prefixes are decimal (1 MB is 10^6 bytes), thousands have
commas, no number has an exponent, and no zero a sign. What is no number is "nan", "inf" or "-inf".
"""

import json
import math
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
EXACT = Context(prec=400)  # digits: more than a float has before and behind its point
_TINY = 1e-12


def quantity(value: float, unit: str, sign: bool = False, digits: int = 3) -> str:
    """A score, a cost, or a difference, with its unit.

    Args:
        unit: of a score or a cost: "%", "points", "nats", "" (a number without), "s", "bytes",
            "operations", "parameters", "trials".
        sign: whether what is above 0 has a plus.
        digits: of bytes, operations and seconds, without zeros at the end. Percentages have one
            decimal, other scores three; parameters and trials are written out.
    """
    if unit in ("bytes", "operations"):
        scaled, prefix = _scaled(value, digits)
        number = _significant(scaled, sign, digits)
        unit = f"{prefix}B" if unit == "bytes" else f"{prefix} {unit}".strip()
    elif unit == "s":
        number = _significant(value, sign, digits)
    else:
        number = fixed(value, _decimals(unit), sign)
    if number.lstrip("+-") == "1":
        unit = {"parameters": "parameter", "operations": "operation",
                "trials": "trial"}.get(unit, unit)
    return f"{number} {unit}".rstrip()


def apart(value: float, other: float, unit: str) -> tuple[str, str]:
    """Two quantities that are set against each other, with as many digits as tell them apart."""
    texts = quantity(value, unit), quantity(other, unit)
    for digits in range(4, 16):
        if texts[0] != texts[1]:
            break
        texts = quantity(value, unit, digits=digits), quantity(other, unit, digits=digits)
    return texts


def interval(low: float, high: float, unit: str, sign: bool = False) -> str:
    """The ends of an interval of a score, with its decimals (see `quantity`), without its unit."""
    return " to ".join(fixed(end, _decimals(unit), sign) for end in (low, high))


def fixed(value: float, decimals: int, sign: bool = False) -> str:
    """A number with so many decimals, halves rounded away from 0, as in charts (ECMA-262,
    toFixed); `sign` as of `quantity`."""
    if math.isfinite(value):
        value = float(Decimal(float(value)).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP,
                                                     EXACT)) + 0.0  # no -0.0
    return f"{value:{'+' if sign and value else ''},.{decimals}f}"


def number(value: float) -> str:
    """A number that may be small, with three digits, without zeros at the end."""
    return _significant(value, False, 3)


def share(value: float) -> str:
    """A share from 0 to 1 in percent, without decimals that are 0."""
    return f"{_significant(100 * value, False, 3)} %"


def p_value(p: float) -> str:
    """Three decimals; four where three would make 0.050 of what lies beside it."""
    if p < 0.001:
        return "< 0.001"
    text = fixed(p, 3)
    return fixed(p, 4) if text == "0.050" and p != 0.05 else text


def count(number: int, noun: str, plural: str = "") -> str:
    """So many of something.

    Args:
        plural: of the noun, where it is not the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def about(number: int) -> str:
    """A whole number, 0 or more, that is an estimate: rounded up to two digits."""
    step = 10 ** max(len(str(number)) - 2, 0)
    return f"{-(-number // step) * step:,}"


def settings(knobs: Mapping[str, Any]) -> str:
    """Knobs as in params.yaml; "the defaults" for none."""
    texts = [f"{knob}: {_setting(value)}" for knob, value in knobs.items()]
    return ", ".join(texts) or "the defaults"


def _setting(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value).replace('"', "")


def _decimals(unit: str) -> int:
    return {"%": 1, "points": 1, "parameters": 0, "trials": 0}.get(unit, 3)


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}")


def _scaled(value: float, digits: int) -> tuple[float, str]:
    """A number over its prefix. It is chosen by the number as written: 999,950 bytes are 1 MB."""
    if not math.isfinite(value):
        return value, ""
    size = abs(_rounded(value, digits))
    return next(((value / scale, prefix) for scale, prefix in PREFIXES if size >= scale),
                (value, ""))


def _significant(value: float, sign: bool, digits: int) -> str:
    """So many digits, without zeros behind the point; before the point all that there are."""
    if not math.isfinite(value):
        return fixed(value, 0, sign)
    size = abs(_rounded(value, digits))
    if size < _TINY:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(size))
    text = fixed(value, max(decimals, 0), sign)
    return text.rstrip("0").rstrip(".") if decimals > 0 else text
