"""Claims: what somebody expects of a study's runs, as a text that a program can test.

    claim    := side (">" side)+ | side ("<" side)+
    side     := term | "[" name ("," name)* "]" ["." quantity] | pattern ["." quantity]
    term     := [number "*"] (ref | "gap(" ref "," ref ")" ["." quantity]) | number
    ref      := run ["." quantity]

A pattern has * or ?; a name in a list may be one. A chain claims every neighbouring pair, a list or
a pattern each of its runs. gap(a, b) is a - b. A quantity is a score or a cost, accuracy where a
claim names none, and the same on all sides, so one side may name it for all. A score that few
images put off to one side (scoring.score.Score.biased) cannot be claimed: no test would be right.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NoReturn

from unfreeze.errors import UserError, nearest
from unfreeze.expecting.costs import COSTS
from unfreeze.scoring.scores import SCORES

DEFAULT = "accuracy"

_WORD = re.compile(r"[A-Za-z0-9_*?-]+")
_QUANTITY = re.compile(r"\.([A-Za-z0-9_]*)")
# 50 in `50-scratch` and `50.accuracy` begins the name of a run.
_NUMBER = re.compile(
    r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_?.-])")


@dataclass(frozen=True)
class Comparison:
    """The sum of coefficients times the runs' values, plus a constant, is above 0.

    Attributes:
        text: the comparison as claimed, without its quantity.
        coefficients: {run: not 0}, at least one.
    """

    text: str
    coefficients: dict[str, float]
    constant: float


@dataclass(frozen=True)
class Claim:
    """All of its comparisons are claimed, of one quantity (a name in SCORES or COSTS)."""

    text: str
    quantity: str
    comparisons: tuple[Comparison, ...]

    @property
    def runs(self) -> list[str]:
        """The runs it is about, each once, in the order of the text."""
        return list(dict.fromkeys(run for comparison in self.comparisons
                                  for run in comparison.coefficients))


def bounds(quantity: str, coefficients: dict[str, float],
           constant: float) -> tuple[float, float]:
    """The lowest and the highest, perhaps infinite, that a sum over runs can be.

    Args:
        quantity: a name in SCORES or COSTS.
        coefficients: {run: not 0}.
    """
    low, high = SCORES[quantity].bounds if quantity in SCORES else (0, math.inf)
    ends = [sorted((factor * low, factor * high)) for factor in coefficients.values()]
    lowest, highest = (constant + sum(end) for end in zip(*ends, strict=True))
    return lowest, highest


def parse(text: str, runs: Sequence[str]) -> Claim:
    """Read a claim about some of these runs.

    Raises:
        UserError: the claim, the character (from 1) where it goes wrong, and what is allowed.
    """
    return _Parser(text, runs).claim()


@dataclass(frozen=True)
class _Term:
    text: str
    coefficients: dict[str, float]
    constant: float = 0.0


@dataclass(frozen=True)
class _Side:
    at: int
    terms: list[_Term]
    pattern: bool = False


def _comparison(left: _Term, right: _Term, direction: str) -> Comparison:
    """Without coefficients where the sides are the same."""
    high, low = (left, right) if direction == ">" else (right, left)
    difference = {run: high.coefficients.get(run, 0.0) - low.coefficients.get(run, 0.0)
                  for run in (high.coefficients | low.coefficients)}
    return Comparison(f"{left.text} {direction} {right.text}",
                      {run: factor for run, factor in difference.items() if factor},
                      high.constant - low.constant)


class _Parser:
    def __init__(self, text: str, runs: Sequence[str]) -> None:
        self.text, self.runs, self.at = text, runs, 0
        self.quantity: str | None = None

    def claim(self) -> Claim:
        sides, direction = [self.side()], None
        while self.peek() or direction is None:
            direction = self.direction(direction)
            sides.append(self.side())
        comparisons = {}
        for left, right in zip(sides, sides[1:], strict=False):
            for comparison in self.compare(left, right, direction):
                comparisons.setdefault(comparison.text, comparison)
        return Claim(self.text, self.quantity or DEFAULT, tuple(comparisons.values()))

    def direction(self, earlier: str | None) -> str:
        sign = self.peek()
        following = self.text[self.at + 1:self.at + 2]
        if sign in ("=", "≥", "≤", "!", "≠") or (sign and sign in "<>" and following == "="):
            self.fail("a claim is strict, only < and > are allowed: that two runs are equal is "
                      "nothing that a test can show")
        if sign not in ("<", ">"):
            hint = "; a difference is written gap(a, b)" if sign and sign in "+-" else ""
            expected = ("< or > is expected" if earlier is None else
                        f"{earlier} or the end is expected; two claims are two entries of the list")
            self.fail(f"{self.here()} where {expected}{hint}")
        if earlier and sign != earlier:
            self.fail(f"{sign!r} after {earlier!r}: a chain has one direction; make it two claims")
        self.at += 1
        return sign

    def side(self) -> _Side:
        start = self.skip()
        if self.take("["):
            return _Side(start, [_Term(name, {name: 1.0}) for name in self.list_of_runs()])
        number = _NUMBER.match(self.text, self.at)
        if number:
            return _Side(start, [self.number_or_multiple(start, number)])
        if self.is_gap():
            return _Side(start, [self.term()])
        names, pattern = self.name(patterns=True)
        self.read_quantity()
        return _Side(start, [_Term(name, {name: 1.0}) for name in names], pattern)

    def list_of_runs(self) -> list[str]:
        """Behind its bracket; each run once."""
        names, _ = self.name(patterns=True)
        while self.take(","):
            names += self.name(patterns=True)[0]
        self.need("]", "after the runs of a list")
        self.read_quantity()
        return list(dict.fromkeys(names))

    def number_or_multiple(self, start: int, number: re.Match) -> _Term:
        digits = number[0]
        value = float(digits)
        if not math.isfinite(value):
            self.fail(f"{digits!r} is too large for a number")
        if digits in self.runs:
            self.fail(f"{digits!r} is a number and a run; write {digits}.{DEFAULT} for the run, "
                      f"{value!r} for the number")
        self.at = number.end()
        if not self.take("*"):
            return _Term(digits, {}, value)
        if value <= 0:
            self.fail(f"{digits!r} is no factor; allowed: numbers above 0", start)
        term = self.term()
        return _Term(f"{digits} * {term.text}", {
            run: value * factor for run, factor in term.coefficients.items()})

    def is_gap(self) -> bool:
        self.skip()
        return bool(re.compile(r"gap\s*\(").match(self.text, self.at))

    def term(self) -> _Term:
        """A run, or the gap between two."""
        if not self.is_gap():
            run = self.ref()
            return _Term(run, {run: 1.0})
        start = self.at
        self.at = self.text.index("(", self.at) + 1
        run = self.ref()
        self.need(",", "between the two runs of a gap")
        other = self.ref()
        self.need(")", "after the two runs of a gap")
        self.read_quantity()
        if run == other:
            self.fail(f"the gap between {run} and itself is 0; name two runs", start)
        return _Term(f"gap({run}, {other})", {run: 1.0, other: -1.0})

    def ref(self) -> str:
        (name,), _ = self.name(patterns=False)
        self.read_quantity()
        return name

    def name(self, patterns: bool) -> tuple[list[str], bool]:
        """The runs that a name or a pattern stands for, and whether it is a pattern."""
        start = self.skip()
        word = _WORD.match(self.text, start)
        if not word:
            self.fail(f"{self.here()} where a run is expected; allowed: {self.allowed()}")
        self.at, word = word.end(), word[0]
        if word in self.runs:
            return [word], False
        if not re.search(r"[*?]", word):
            self.fail(f"{word!r} is no run{nearest(word, self.runs)}; allowed: {self.allowed()}",
                      start)
        if not patterns:
            self.fail(f"{word!r}: a pattern stands for a whole side; allowed here: "
                      f"{self.allowed()}", start)
        matching = [run for run in self.runs if fnmatchcase(run, word)]
        if not matching:
            self.fail(f"{word!r} matches no run; there are {self.allowed()}", start)
        return matching, True

    def read_quantity(self) -> None:
        suffix = _QUANTITY.match(self.text, self.at)
        if not suffix:
            return
        start, name = self.at + 1, suffix[1]
        unbiased = [score for score in SCORES if not SCORES[score].biased]
        allowed = [*unbiased, *COSTS]
        if name in SCORES and name not in unbiased:
            self.fail(f"{name!r} cannot be tested: few images put it off to one side, and not all "
                      f"runs alike; allowed: {', '.join(unbiased)} (cross_entropy and brier tell "
                      "about confidence too)", start)
        if name not in allowed:
            self.fail(f"{name!r} is no metric and no cost{nearest(name, allowed)}; allowed: "
                      f"{', '.join(allowed)}", start)
        if self.quantity not in (None, name):
            self.fail(f"{name!r} beside {self.quantity!r}; all sides of a claim have the same "
                      "quantity", start)
        self.quantity, self.at = name, suffix.end()

    def compare(self, left: _Side, right: _Side, direction: str) -> list[Comparison]:
        """Every run of a side with every run of its neighbour."""
        made = []
        for left_term in left.terms:
            for right_term in right.terms:
                if not left_term.coefficients and not right_term.coefficients:
                    self.fail("two numbers; one of two neighbours must be a run", right.at)
                comparison = _comparison(left_term, right_term, direction)
                if comparison.coefficients:
                    if not (left_term.coefficients and right_term.coefficients):
                        self.check_number(comparison,
                                          right.at if left_term.coefficients else left.at)
                    made.append(comparison)
                elif not (left.pattern or right.pattern):
                    self.fail(f"{right_term.text} is compared with itself; name another run",
                              right.at)
        if not made:
            self.fail(f"no run but {left.terms[0].text} itself matches",
                      right.at if right.pattern else left.at)
        return made

    def check_number(self, comparison: Comparison, at: int) -> None:
        """Refuse a number that no run can be on the other side of, or a share for a percentage."""
        name, constant = self.quantity or DEFAULT, comparison.constant
        lowest, highest = bounds(name, comparison.coefficients, constant)
        if lowest > 0 or highest <= 0:
            self.fail(f"{comparison.text} is {'always' if lowest > 0 else 'never'} true: "
                      f"{name} is {self.value_range(name)}", at)
        # An error of less than 1 % is nothing strange.
        is_share = (name in SCORES and SCORES[name].unit == "%"
                    and SCORES[name].better == "higher" and 0 < abs(constant) < 1)
        if is_share and list(map(abs, comparison.coefficients.values())) == [1]:
            self.fail(f"{name} is in percent; write {100 * abs(constant):g} for a share of "
                      f"{abs(constant):g}", at)

    @staticmethod
    def value_range(name: str) -> str:
        if name in COSTS:
            return f"at least 0 ({COSTS[name].unit})"
        low, high = SCORES[name].bounds
        unit = f" {SCORES[name].unit}" if SCORES[name].unit else ""
        return f"at least {low}{unit}" if math.isinf(high) else f"{low} to {high}{unit}"

    def skip(self) -> int:
        while self.text[self.at:self.at + 1].isspace():
            self.at += 1
        return self.at

    def peek(self) -> str:
        return self.text[self.skip():][:1]

    def take(self, character: str) -> bool:
        is_next = self.peek() == character
        self.at += is_next
        return is_next

    def need(self, character: str, where: str) -> None:
        if not self.take(character):
            self.fail(f"{self.here()} where {character!r} is expected, {where}")

    def here(self) -> str:
        rest = self.text[self.skip():]
        word = _WORD.match(rest)
        return repr(word[0] if word else rest[0]) if rest else "the end"

    def allowed(self) -> str:
        return ", ".join(self.runs)

    def fail(self, problem: str, at: int | None = None) -> NoReturn:
        at = self.at if at is None else at
        raise UserError(f"{self.text!r}: character {at + 1}: {problem}")
