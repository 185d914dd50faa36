"""The knob `search`: from what is written to the candidates of a run.

    {lr: [0.001, 0.01], epochs: [3, 10]}             a grid: every combination, as written, the last
                                                     knob first
    {lr: {from: 1.0e-4, to: 1.0e-2}, trials: 8}      as many draws, from ranges and from lists
    {..., halving: 3}                                the first epochs decide who goes on
    {..., operations: 1.0e+13}                       as many trials as this counted work allows

One more draw leaves the others as they are. Each knob is drawn by itself.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unfreeze.data import subsets
from unfreeze.data.facts import Facts
from unfreeze.errors import Fault, nearest
from unfreeze.params.check import check
from unfreeze.params.faults import about
from unfreeze.params.knob import LARGEST, POSITIVE, is_integer, is_number, whole
from unfreeze.params.knobs import KNOBS
from unfreeze.params.plan import Run
from unfreeze.recipe import Knobs

SETTINGS = {"trials": whole(2), "halving": whole(2), "operations": POSITIVE}
SEARCHABLE = tuple(name for name, knob in KNOBS.items() if knob.searchable)
MOST = 1000  # candidates of a run
ENOUGH_VALIDATION = 200  # images, for a choice among trials to be steady
FOLDS = 5
_SIGNIFICANT = 3  # digits of a drawn number: it is to be read, and the same on every machine
_TRIES = 1000  # draws for each candidate, of which most may have been there


@dataclass(frozen=True)
class Wanted:
    """A search as written.

    Attributes:
        knobs: those that are searched.
        candidates: {searched knob: value} of each, all different.
        drawn_from: {searched knob that is a number: the lowest and the highest that could have been
            drawn}; {} where they are listed.
        halving: 0 for none. operations: None for no limit.
    """

    knobs: tuple[str, ...]
    candidates: tuple[Knobs, ...]
    drawn_from: Mapping[str, tuple[float, float]]
    halving: int
    operations: float | None


def read(written: Mapping, seed: int) -> Wanted:
    """The candidates, each value allowed by itself.

    Args:
        written: the value of the knob `search`, not {}. seed: of draws.

    Raises:
        Fault: of `search.NAME`, or of `search` as a whole.
    """
    searched = {key: value for key, value in written.items() if key not in SETTINGS}
    settings = {key: value for key, value in written.items() if key in SETTINGS}
    for key, value in settings.items():
        check(f"search.{key}", SETTINGS[key], value)
    if not searched:
        raise Fault("search", "names no knob; add one with its candidates, such as "
                              "lr: [0.001, 0.01], or set search: {}")
    for key, value in searched.items():
        _check_knob(key, value, "trials" in settings)
    drawn = "trials" in settings
    candidates = (_drawn(searched, settings["trials"], seed) if drawn else
                  _grid(searched))
    return Wanted(tuple(searched), tuple(candidates), _ends(searched) if drawn else {},
                  settings.get("halving", 0), settings.get("operations"))


def _ends(searched: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    values = {key: list(value.values() if isinstance(value, dict) else value)
              for key, value in searched.items()}
    return {key: (min(each), max(each)) for key, each in values.items()
            if all(map(is_number, each))}


def _check_knob(key: Any, value: Any, drawn: bool) -> None:
    where = f"search.{key}"
    if key not in KNOBS:
        known = [*SEARCHABLE, *SETTINGS]
        raise Fault(where, f"unknown knob{nearest(key, known)}; allowed: {', '.join(known)}")
    if key not in SEARCHABLE:
        raise Fault(where, "cannot be searched: all candidates of a run are tried on the same "
                           f"images, in the same way; allowed: {', '.join(SEARCHABLE)}")
    if isinstance(value, dict) and value.keys() == {"from", "to"}:
        _check_range(key, value, drawn)
        return
    if not isinstance(value, list) or not value:
        raise Fault(where, f"{value!r} is not allowed; it must be a list of candidates, such as "
                           "[0.001, 0.01], or with trials a range, such as {from: 1.0e-4, "
                           "to: 1.0e-2}")
    for candidate in value:
        check(where, KNOBS[key].allowed, candidate)
        if key == "epochs" and candidate == 0:
            raise Fault(where, "0 tests a model as it is, and a search compares trainings; leave "
                               "it out, or make it a run of its own")
    if len(value) == 1:
        raise Fault(where, f"{value} is one candidate, which leaves nothing to choose; add "
                           f"another, or set {key}: {value[0]} instead")


def _check_range(key: str, value: Mapping, drawn: bool) -> None:
    where = f"search.{key}"
    if not KNOBS[key].allowed.number:
        raise Fault(where, f"{value} is a range, and {key} is no number; write a list")
    for end in ("from", "to"):
        check(f"{where}.{end}", KNOBS[key].allowed, value[end])
        if not is_number(value[end]):
            raise Fault(f"{where}.{end}", f"{value[end]!r} is not allowed; it must be a number")
    if value["from"] >= value["to"]:
        raise Fault(where, f"from {value['from']} to {value['to']} is empty; from must be below to")
    if key == "epochs" and not value["from"]:
        raise Fault(f"{where}.from", "0 tests a model as it is; allowed: 1 or more")
    if not drawn:
        raise Fault(where, f"{value} is a range, from which nothing is drawn without trials; add "
                           "trials: 8 to search, or write a list")


def _grid(searched: Mapping[str, list]) -> Iterator[Knobs]:
    size = math.prod(map(len, searched.values()))
    if size > MOST:
        raise Fault("search", f"makes {size:,} candidates; allowed: {MOST:,}; leave some out, or "
                              "draw some of them: trials: 20")
    for values in itertools.product(*searched.values()):
        yield dict(zip(searched, values, strict=True))


def _drawn(searched: Mapping[str, Any], trials: int, seed: int) -> list[Knobs]:
    if trials > MOST:
        raise Fault("search.trials", f"{trials} is not allowed; allowed: 2 to {MOST:,}")
    streams = {key: _draws(key, value, seed) for key, value in searched.items()}
    drawn: list[Knobs] = []
    for _ in range(_TRIES * trials):
        candidate = {key: next(stream) for key, stream in streams.items()}
        if candidate not in drawn:
            drawn.append(candidate)
        if len(drawn) == trials:
            return drawn
    raise Fault("search.trials", f"{trials} is more than the {len(drawn)} candidates that there "
                                 "are; allowed: fewer, or more to draw from")


def _draws(key: str, value: Any, seed: int) -> Iterator[Any]:
    """Endless draws of a knob from its list or range."""
    rng = np.random.Generator(np.random.PCG64([seed, *key.encode()]))
    while True:
        if isinstance(value, list):
            yield value[rng.integers(len(value))]
        else:
            yield _between(key, value["from"], value["to"], rng)


def _between(key: str, low: float, high: float, rng: np.random.Generator) -> float:
    within = low + (high - low) / math.pi
    if is_integer(low) and is_integer(high) and not KNOBS[key].allowed.fits(within):
        return int(rng.integers(low, high + 1))
    share = rng.random()
    if KNOBS[key].by_factors and low > 0:
        drawn = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    else:
        drawn = low + share * (high - low)
    return min(max(float(f"{drawn:.{_SIGNIFICANT}g}"), low), high)


def folds(knobs: Knobs, dataset: Facts) -> int:
    """Into how many folds the images of a searched run are divided; 1: trials are scored on its
    validation images."""
    if knobs["search_folds"] != "auto":
        return knobs["search_folds"]
    images = _held_out(knobs, dataset)
    return 1 if images is not None and images >= ENOUGH_VALIDATION else FOLDS


def _held_out(knobs: Knobs, dataset: Facts) -> int | None:
    """Validation images of a run, to within one a class; None: known when they are fetched."""
    if not knobs["validation"]:
        return 0
    if dataset.classes is None or dataset.train is None:
        return None
    if knobs["per_class"]:
        return dataset.classes * subsets.number_held_out(knobs["per_class"], knobs["validation"])
    return int(knobs["validation"] * round(knobs["fraction"] * dataset.train))


def check_trains(run: Run) -> None:
    """Is there anything to choose?

    Raises:
        Fault: the run, one of the candidates, tests a model as it is.
    """
    if not run.trains:
        raise Fault("search", "finds nothing to choose, because epochs: 0 tests a model as it is; "
                              "set search: {} in this run")


def check_different(wanted: Wanted, runs: Sequence[Run], settle: Callable[[Knobs], Run]) -> None:
    """Is each candidate a training of its own?

    Args:
        runs: each candidate settled. settle: the same for others.

    Raises:
        Fault: two are the same, or nothing reads one of the knobs.
    """
    for key in wanted.knobs:
        first, others = wanted.candidates[0], wanted.candidates[1:]
        values = [first | {key: other[key]} for other in others if other[key] != first[key]]
        if values and not any(_differs(runs[0], value, settle) for value in values[:2]):
            raise Fault(f"search.{key}", f"has no effect on this run: {first[key]} and "
                                         f"{values[0][key]} come to the same recipe; leave it out")
    seen: list[Run] = []
    for number, run in enumerate(map(_recipe_of, runs)):
        if run in seen:
            one, other = wanted.candidates[seen.index(run)], wanted.candidates[number]
            raise Fault("search", f"{one} and {other} come to the same recipe; leave one out")
        seen.append(run)


def _differs(run: Run, values: Knobs, settle: Callable[[Knobs], Run]) -> bool:
    try:
        return _recipe_of(settle(values)) != _recipe_of(run)
    except Fault:
        return True  # it goes with nothing else of that candidate: so it is read


def _recipe_of(run: Run) -> Run:
    """What of a run enters its recipe."""
    return replace(run, knobs={}, changes={})


def check_halving(run: Run, wanted: Wanted) -> None:
    """Is there a first rung, with fewer epochs and more candidates than the last?

    Args:
        run: a candidate.

    Raises:
        Fault: there are too few of either.
    """
    factor = wanted.halving
    if factor > len(wanted.candidates):
        raise Fault("search.halving", f"{factor} needs as many candidates, and there are "
                                      f"{len(wanted.candidates)}; leave it out, or add some")
    epochs = max(phase.knobs["epochs"] if is_integer(phase.knobs["epochs"]) else LARGEST
                 for phase in run.phases)
    if factor > epochs:
        raise Fault("search.halving", f"{factor} needs as many epochs, and a candidate has "
                                      f"{epochs}; leave it out, or set more")


def check_images(knobs: Knobs, dataset: Facts) -> None:
    """Are there images to score a trial on, and seeds for it that no final model has?

    Raises:
        Fault: there are none.
    """
    parts = folds(knobs, dataset)
    for seed in knobs["search_seeds"]:
        if seed in knobs["seeds"]:
            raise Fault("search_seeds", f"{seed} is among seeds: {knobs['seeds']}, and what is "
                                        "tested must not be what was chosen; take another")
    if parts == 1 and _held_out(knobs, dataset) == 0:
        raise Fault("search_folds", f"1 scores trials on validation images, and validation: "
                                    f"{knobs['validation']} leaves none; set search_folds: "
                                    f"{FOLDS}, or a larger validation")
    if parts > 1 and dataset.classes is not None and dataset.train is not None:
        images = (dataset.classes * knobs["per_class"] or
                  round(knobs["fraction"] * dataset.train))
        with about("search_folds"):
            subsets.check_folds(images, dataset.classes, parts)
