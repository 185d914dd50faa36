"""What params.yaml holds besides knobs: runs, what is not run, pairs, claims, by what runs are
compared, a budget, whether pictures of photos are shared. `race` and `rank` are read in files of
their own."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from unfreeze.errors import Fault, UserError, nearest
from unfreeze.expecting import claims
from unfreeze.expecting.costs import COSTS
from unfreeze.params.check import check
from unfreeze.params.knob import NOT_NEGATIVE, PERCENT, POSITIVE, SWITCH, choice, is_names
from unfreeze.params.plan import Claim, Run
from unfreeze.scoring.scores import SCORES

_WHAT = {
    "runs": "a mapping of run names to overrides",
    "not_run": "a mapping of run names to what runs have and why they are not run, such as {large: "
               "{why: needs a GPU, model: vit_b_16}}, or left out",
    "compare": "a mapping of names to pairs of runs, such as {tuned_and_scratch: [base, scratch]}, "
               "or {}",
    "claims": "a list of claims about runs, such as [base > scratch], or []",
    "budget": "a mapping of costs to the most that is allowed, such as {seconds: 60, stored_bytes: "
              "1.0e+6}, or {}",
}
NAMES = ("runs", "compare", "claims", "score", "margin", "worth", "budget", "not_run",
         "share_photos", "race", "rank")
_LONGEST_NAME = 100  # characters; systems have 255 for a file, with what we put around it
_NUMBER_OF_YAML_1_2 = re.compile(
    r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*([eE][-+]?[0-9]+)?)")
_UNBIASED = [name for name, score in SCORES.items() if not score.biased]
_COMPARED_BY = {"score": choice(*_UNBIASED), "margin": NOT_NEGATIVE, "worth": POSITIVE}
DEFAULT_SCORE = "accuracy"  # as of Plan
CURVE = "train_accuracy"  # of `reported`: after each epoch
TEXTS = ("compare", "claims", "race", "rank")  # in which what looks like a number is text


@dataclass(frozen=True)
class WrittenRun:
    """A run as written.

    Attributes:
        knobs: what it sets itself; not checked yet.
        reported: what others reported of it; None for nothing.
        why: it is not run; "" for one that is.
    """

    knobs: Any
    reported: Any = None
    why: str = ""


def read_runs(params: Mapping[str, Any]) -> dict[str, WrittenRun]:
    """{run: as written}."""
    if "runs" not in params:
        raise Fault("runs", f"is missing; add it: {_WHAT['runs']}, such as {{base: {{}}}}")
    given = params["runs"]
    if not isinstance(given, dict) or not given:
        raise Fault("runs", "must be a mapping with at least one run, such as `base: {}`")
    for run in given:
        _check_name("runs", run, "a run")
    return {run: _entry(knobs) for run, knobs in given.items()}


def read_not_run(params: Mapping[str, Any], runs: Collection[str]) -> dict[str, WrittenRun]:
    """{run that is not run: as written}."""
    given = params.get("not_run")
    if given is None:
        return {}
    _check_mapping("not_run", given)
    entries = {}
    for run, knobs in given.items():
        where = f"not_run.{run}"
        if run in runs:
            raise Fault(where, "is under runs too; leave it out of one of them")
        if not isinstance(knobs, dict) or "why" not in knobs:
            raise Fault(where, "says no `why`; add it, as in {why: needs a GPU}")
        why = knobs["why"]
        if not isinstance(why, str) or not why.strip():
            raise Fault(f"{where}.why", f"{why!r} is not allowed; it must be a text")
        _check_name("not_run", run, "a run")
        entries[run] = _entry({key: value for key, value in knobs.items() if key != "why"},
                              " ".join(why.split()))
    return entries


def _entry(knobs: Any, why: str = "") -> WrittenRun:
    knobs = {} if knobs is None else knobs
    if not isinstance(knobs, dict) or "reported" not in knobs:
        return WrittenRun(knobs, why=why)
    reported = knobs["reported"]  # no knob: it changes nothing of the run
    return WrittenRun({key: value for key, value in knobs.items() if key != "reported"},
                      reported if isinstance(reported, dict) else {"accuracy": reported}, why)


def check_reported(where: str, reported: Mapping, run: Run) -> dict[str, float]:
    """{metric: number that somebody reported} of a run.

    Args:
        where: it stands, such as runs.base.
    """
    where = f"{where}.reported"
    numbers = {name: number for name, number in reported.items() if name != CURVE}
    for name, number in numbers.items():
        if name not in SCORES:
            raise Fault(where, f"{name!r} is no metric{nearest(name, SCORES)}; allowed: "
                               f"{', '.join([*SCORES, CURVE])}")
        problem = _always_right(name, "this run", run)
        if problem:
            raise Fault(where, problem)
        check(f"{where}.{name}", PERCENT if SCORES[name].unit == "%" else NOT_NEGATIVE, number)
    return numbers


def check_curve(where: str, reported: Mapping) -> tuple[float, ...]:
    """The accuracy on the training images after each epoch, in percent, that somebody reported of a
    run; () for nothing.

    Args:
        where: it stands, such as runs.base.
    """
    curve = reported.get(CURVE, [])
    where = f"{where}.reported.{CURVE}"
    if not isinstance(curve, list):
        raise Fault(where, f"{curve!r} is not allowed; it must be a list, a number an epoch")
    for number, accuracy in enumerate(curve, start=1):
        check(f"{where} {number}", PERCENT, accuracy)
    return tuple(curve)


def read_pairs(params: Mapping[str, Any], runs: Mapping[str, Run],
               absent: Collection[str]) -> dict[str, tuple[str, ...]]:
    """{pair: its two runs}, of one model and with a seed in common.

    Args:
        absent: those that are not run.
    """
    given = params.get("compare", {})
    _check_mapping("compare", given)
    for name, pair in given.items():
        _check_name("compare", name, "a pair")
        where = f"compare.{name}"
        if not is_names(pair) or len(pair) != 2 or pair[0] == pair[1]:
            raise Fault(where, f"{pair!r} is not allowed; it must be a list of two runs")
        for run in pair:
            if run in absent:
                raise Fault(where, f"{run} is under not_run, so there is no model of it; leave the "
                                   "pair out")
            if run not in runs:
                raise Fault(where, f"{run!r} is no run{nearest(run, runs)}; allowed: "
                                   f"{', '.join(runs)}")
            if "model" in runs[run].knobs["search"]:
                raise Fault(where, f"the model of {run} is searched, and only runs of one model "
                                   "can be compared layer by layer; leave the pair out")
        first, second = (runs[run].knobs for run in pair)
        if first["model"] != second["model"]:
            raise Fault(where, f"{pair[0]} is a {first['model']} and {pair[1]} a "
                               f"{second['model']}; only runs of one model can be compared layer "
                               "by layer")
        if not set(first["seeds"]) & set(second["seeds"]):
            raise Fault(where, f"{pair[0]} and {pair[1]} have no seed in common ({first['seeds']} "
                               f"and {second['seeds']}); give them one")
    return {name: tuple(pair) for name, pair in given.items()}


def read_claims(params: Mapping[str, Any], runs: Mapping[str, Run]) -> tuple[Claim, ...]:
    """The claims, each readable by expecting.claims and made once.

    Args:
        runs: those that they may name.
    """
    given = params.get("claims", [])
    if not isinstance(given, list):
        raise Fault("claims", f"{given!r} is not allowed; it must be {_WHAT['claims']}")
    read: dict[str, Claim] = {}
    for number, entry in enumerate(given, start=1):
        where = f"claims {number}"
        content = entry if isinstance(entry, dict) else {"claim": entry}
        if (not all(isinstance(text, str) for text in content.values())
                or not {"claim"} <= content.keys() <= {"claim", "note"}):
            raise Fault(where, f"{entry!r} is not allowed; it must be a text such as base > "
                               "scratch, or {claim: text, note: text}, in quotes within the braces")
        text, note = (" ".join(content.get(key, "").split()) for key in ("claim", "note"))
        try:
            claim = claims.parse(text, list(runs))
        except UserError as error:
            raise Fault(where, str(error)) from None
        if text in read:
            raise Fault(where, f"{text!r} is there already; leave one of them out")
        for run in claim.runs:
            problem = _always_right(claim.quantity, run, runs[run])
            if problem:
                raise Fault(where, f"{text!r}: {problem}")
        read[text] = Claim(text, note)
    return tuple(read.values())


def read_budget(params: Mapping[str, Any]) -> dict[str, float]:
    """{cost: the most that is allowed}."""
    given = params.get("budget", {})
    _check_mapping("budget", given)
    for cost, most in given.items():
        if cost not in COSTS:
            raise Fault("budget", f"{cost!r} is no cost{nearest(cost, COSTS)}; allowed: "
                                  f"{', '.join(COSTS)}")
        check(f"budget.{cost}", POSITIVE, most)
    return given


def read_score(params: Mapping[str, Any], runs: Mapping[str, Run]) -> dict[str, Any]:
    """{section: value} of those that say by what runs are compared, without those left out."""
    given = {name: params[name] for name in _COMPARED_BY if name in params}
    for name, value in given.items():
        check(name, _COMPARED_BY[name], value)
    for run in runs:
        problem = _always_right(given.get("score", ""), run, runs[run])
        if problem:
            raise Fault("score", problem)
    return given


def read_sharing(params: Mapping[str, Any]) -> bool:
    """Whether pictures of the user's own photos may go where git tracks them."""
    shared = params.get("share_photos", False)
    check("share_photos", SWITCH, shared)
    return shared


def _check_mapping(section: str, given: Any) -> None:
    if not isinstance(given, dict):
        raise Fault(section, f"{given!r} is not allowed; it must be {_WHAT[section]}")


def _check_name(section: str, name: Any, what: str) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise Fault(section, f"{name!r} is no name for {what}; allowed are letters, digits, - and "
                             "_ (in quotes if it is a number, or a word such as yes or no)")
    if len(name) > _LONGEST_NAME:
        raise Fault(section, f"{name!r} is no name for {what}: files are called by it, and "
                             f"{len(name)} characters are too many; allowed are {_LONGEST_NAME}")
    if _is_number_to_dvc(name):
        raise Fault(section, f"{name!r} is no name for {what}: to DVC it is a number; let it begin "
                             f"with a letter, such as run_{name}")


def _is_number_to_dvc(name: str) -> bool:
    """Whether DVC, which reads YAML 1.2, takes a name for a number that PyYAML takes for text."""
    return (_NUMBER_OF_YAML_1_2.fullmatch(name) is not None
            and isinstance(yaml.safe_load(name), str))  # else it was in quotes, for both


def _always_right(quantity: str, name: str, run: Run) -> str:
    """What is wrong with a number of a run; a dataset of five classes has no top-5 accuracy but
    100."""
    score = SCORES.get(quantity)
    if score is None or run.classes is None or run.classes >= score.least_classes:
        return ""
    return (f"{quantity} is always {score.bounds[1]} for {name}, whose dataset "
            f"{run.knobs['dataset']} has {run.classes} classes; allowed for more than "
            f"{score.least_classes - 1}; use accuracy")
