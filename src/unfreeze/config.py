"""From params.yaml to runs whose every knob is settled.

`resolve` checks everything that can be known before a byte is downloaded: names, types, ranges
and combinations. It imports no torch. What depends on it: the stages plan and (through plan/) all.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unfreeze import models
from unfreeze.data import datasets, subsets
from unfreeze.errors import UserError, nearest
from unfreeze.tuning import rules


@dataclass(frozen=True)
class Knob:
    """A knob of params.yaml: what is allowed, in words for an error and as a test."""

    allowed: str
    fits: Callable[[Any], bool]
    number: bool = False


def _is_number(value: Any) -> bool:
    # The comparison also turns away nan, infinities and whole numbers too large for a float.
    return (isinstance(value, int | float) and not isinstance(value, bool)
            and abs(value) <= sys.float_info.max)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(allowed: str, fits: Callable[[float], bool]) -> Knob:
    return Knob(allowed, lambda value: _is_number(value) and fits(value), number=True)


def _integer(low: int) -> Knob:
    return Knob(f"a whole number, {low} or more",
                lambda value: _is_integer(value) and value >= low, number=True)


def _choice(*names: str) -> Knob:
    return Knob(", ".join(names), lambda value: isinstance(value, str) and value in names)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _fits_freeze(value: Any) -> bool:
    if isinstance(value, dict):
        return list(value) == ["train"] and _is_names(value["train"])
    return _is_names(value) or (isinstance(value, str) and value in rules.PRESETS)


def _fits_seeds(value: Any) -> bool:
    return (isinstance(value, list) and len(value) > 0 and len(set(map(str, value))) == len(value)
            and all(_is_integer(seed) and 0 <= seed < 2**31 for seed in value))


def _fits_scales(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and _is_number(scale) and scale > 0 for name, scale in value.items())


_FRACTION = _number("a number above 0 and at most 1", lambda value: 0 < value <= 1)
_BELOW_ONE = _number("a number from 0 up to but not including 1", lambda value: 0 <= value < 1)
_NOT_NEGATIVE = _number("a number, 0 or more", lambda value: value >= 0)
_SWITCH = Knob("true, false", lambda value: isinstance(value, bool))

KNOBS: dict[str, Knob] = {
    "dataset": Knob("the name of a dataset", lambda value: isinstance(value, str)),
    "fraction": _FRACTION,
    "test_fraction": _FRACTION,
    "validation": _BELOW_ONE,
    "seeds": Knob("a list of different whole numbers from 0 to 2147483647", _fits_seeds),
    "model": Knob("the name of a model", lambda value: isinstance(value, str)),
    "init": _choice("pretrained", "scratch"),
    "stem": _choice("original", "cifar"),
    "freeze": Knob(rules.ALLOWED, _fits_freeze),
    "frozen_batchnorm": _choice("eval", "train"),
    "epochs": _integer(1),
    "batch_size": _integer(2),
    "optimizer": _choice("sgd", "adam", "adamw"),
    "lr": _number("a number above 0", lambda value: value > 0),
    "lr_scale": Knob("{part: multiplier above 0}", _fits_scales),
    "momentum": _BELOW_ONE,
    "weight_decay": _NOT_NEGATIVE,
    "schedule": _choice("constant", "cosine", "exponential"),
    "gamma": _FRACTION,
    "label_smoothing": _BELOW_ONE,
    "image_size": _integer(1),
    "normalize": _choice("dataset", "weights"),
    "flip": _SWITCH,
    "crop_padding": _integer(0),
    "rotation": _number("degrees from 0 to 180", lambda value: 0 <= value <= 180),
}

# Knobs that only some values of another knob read.
READ_ONLY_WITH = {"momentum": ("optimizer", "sgd"), "gamma": ("schedule", "exponential")}

# What a replicate's training reads from its recipe; the other knobs act through the parts, the
# subset, the weights and the normalisation that the recipe names.
TRAINING_KNOBS = (
    "model", "init", "stem", "frozen_batchnorm", "epochs", "batch_size", "optimizer", "lr",
    "momentum", "weight_decay", "schedule", "gamma", "label_smoothing", "image_size", "flip",
    "crop_padding", "rotation",
)

SECTIONS = ("runs",)


@dataclass(frozen=True)
class Plan:
    """What the pipeline is going to do.

    Attributes:
        runs: {run: settled knobs and what follows from them} (see `_settle`).
        datasets: names, sorted.
        weights: {name of the weights: model that states them}.
        subsets: {subset file name: the arguments that it is drawn with}.
    """

    runs: dict[str, dict]
    datasets: list[str]
    weights: dict[str, str]
    subsets: dict[str, dict]


def resolve(params: Any, file: str = "params.yaml") -> Plan:
    """Settle every run.

    Args:
        params: the content of params.yaml.
        file: its name, for messages.

    Raises:
        UserError: the first thing that is wrong: file, key, value, what is allowed.
    """
    if not isinstance(params, dict):
        raise UserError(f"{file}: must be a mapping of knobs, with the runs under `runs:`")
    params = _numbers(params)
    known = [*KNOBS, *SECTIONS]
    for key in params:
        if key not in known:
            raise UserError(f"{file}: {key}: unknown knob{nearest(key, known)}; "
                            f"allowed: {', '.join(known)}")
    for key in known:
        if key not in params:
            what = KNOBS[key].allowed if key in KNOBS else "a mapping of run names to overrides"
            raise UserError(f"{file}: {key} is missing; add it: {what}")
    defaults = {key: value for key, value in params.items() if key in KNOBS}
    for key, value in defaults.items():
        _check(f"{file}: {key}", key, value)
    if not isinstance(params["runs"], dict) or not params["runs"]:
        raise UserError(f"{file}: runs: must be a mapping with at least one run, such as "
                        "`base: {}`")
    runs = {}
    for run, overrides in params["runs"].items():
        if not isinstance(run, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", run):
            raise UserError(f"{file}: runs: {run!r} is no name for a run; "
                            "allowed are letters, digits, - and _ (in quotes if it is a "
                            "number, or a word such as yes or no)")
        runs[run] = _settle(file, run, defaults, overrides if overrides is not None else {})
    return Plan(
        runs=runs,
        datasets=sorted({run["dataset"] for run in runs.values()}),
        weights={run["weights"]: run["model"] for run in runs.values() if run["weights"]},
        subsets={
            file: {key: run[key] for key in subsets.ARGUMENTS} | {"seed": seed}
            for run in runs.values()
            for seed, file in run["subsets"].items()
        },
    )


def _settle(file: str, name: str, defaults: dict, overrides: Any) -> dict:
    """One run: every knob, and besides them `changes` (its own overrides), `parts` (the table of
    rules.part_table), `weights` (name or None), `normalization` (mean and std per channel) and
    `subsets` ({seed: index file})."""
    where = f"{file}: runs.{name}"
    if not isinstance(overrides, dict):
        raise UserError(f"{where}: {overrides!r} is not allowed; it must be a mapping of knobs to "
                        "values, {} for none")
    for key, value in overrides.items():
        if key not in KNOBS:
            raise UserError(f"{where}.{key}: unknown knob{nearest(key, KNOBS)}; "
                            f"allowed: {', '.join(KNOBS)}")
        _check(f"{where}.{key}", key, value)
    run = defaults | overrides
    for key, (other, needed) in READ_ONLY_WITH.items():
        if key in overrides and run[other] != needed:
            raise UserError(f"{where}.{key}: has no effect with {other}: {run[other]}; "
                            f"leave it out, or set {other}: {needed}")

    def place(key: str) -> str:
        return f"{where}.{key}" if key in overrides else f"{file}: {key} (of runs.{name})"

    facts = _named(place("model"), lambda: models.family(run["model"]).MODELS[run["model"]])
    dataset = _named(place("dataset"), lambda: datasets.dataset(run["dataset"]))
    weights = facts.weights
    if weights is None and (run["init"] == "pretrained" or run["normalize"] == "weights"):
        key = "init" if run["init"] == "pretrained" else "normalize"
        raise UserError(f"{place(key)}: there are no pretrained weights of {run['model']}; "
                        "set init: scratch and normalize: dataset")
    if run["stem"] not in facts.strides:
        raise UserError(f"{place('stem')}: {run['stem']} is not made for {run['model']}; "
                        f"allowed: {', '.join(facts.strides)}")
    smallest = facts.strides[run["stem"]]
    if run["image_size"] < smallest:
        raise UserError(f"{place('image_size')}: {run['image_size']} is too small for "
                        f"{run['model']} with stem: {run['stem']}, which divides it by {smallest}; "
                        f"allowed: {smallest} or more")
    _named(place("fraction"), lambda: subsets.check(
        dataset.TRAIN, len(dataset.CLASSES), run["fraction"], run["validation"]))
    _named(place("test_fraction"), lambda: subsets.check(
        dataset.TEST, len(dataset.CLASSES), run["test_fraction"], 0))
    try:
        parts = rules.part_table(facts.parts, run["freeze"], run["lr_scale"])
    except UserError as error:
        key, _, problem = str(error).partition(": ")
        raise UserError(f"{place(key)}: {problem}") from None

    images = weights if run["normalize"] == "weights" else dataset
    mean, std = (images.mean, images.std) if images is weights else (images.MEAN, images.STD)
    return {key: run[key] for key in KNOBS} | {
        "changes": overrides,
        "parts": parts,
        "weights": weights.name if run["init"] == "pretrained" else None,
        "normalization": {"mean": list(mean), "std": list(std)},
        "subsets": {
            seed: subsets.file_name(seed=seed, **{key: run[key] for key in subsets.ARGUMENTS})
            for seed in run["seeds"]
        },
    }


def _named(where: str, look_up: Callable[[], Any]) -> Any:
    try:
        return look_up()
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _check(where: str, key: str, value: Any) -> None:
    knob = KNOBS[key]
    if knob.fits(value):
        return
    if knob.number and isinstance(value, str):
        number = _as_number(value)
        if knob.fits(number):
            text = repr(number)  # YAML wants a dot in a number with an exponent
            text = text.replace("e", ".0e") if "e" in text and "." not in text else text
            raise UserError(f"{where}: {value!r} is text to YAML, not a number; write {text}")
    choices = knob.allowed.split(", ")
    raise UserError(f"{where}: {value!r} is not allowed{nearest(value, choices)}; "
                    f"allowed: {knob.allowed}")


def _numbers(value: Any) -> Any:
    """Text that DVC wrote for a number, as a number. `dvc exp run -S lr=0.00001` writes Python's
    own spelling, 1e-05, which YAML takes for text as long as it has no dot."""
    if isinstance(value, dict):
        return {key: _numbers(each) for key, each in value.items()}
    if isinstance(value, str) and re.fullmatch(r"\de[-+]\d+", value):
        number = float(value)
        return number if repr(number) == value else value
    return value


def _as_number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return None


def training_knobs(run: dict) -> dict:
    """The knobs of a settled run that its training reads, and no others."""
    knobs = {key: run[key] for key in TRAINING_KNOBS}
    for key, (other, needed) in READ_ONLY_WITH.items():
        if run[other] != needed:
            del knobs[key]
    if all(row["trainable"] for row in run["parts"]):
        del knobs["frozen_batchnorm"]
    return knobs
