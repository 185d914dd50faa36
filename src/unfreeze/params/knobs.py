"""The knobs of params.yaml: what each may be, and who reads it. No torch.

What depends on it: config.py, reporting/tables.py (their order).
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unfreeze.errors import UserError, nearest
from unfreeze.models import heads
from unfreeze.tuning import methods, rules


@dataclass(frozen=True)
class Knob:
    """A knob of params.yaml: what is allowed, in words for an error and as a test."""

    allowed: str
    fits: Callable[[Any], bool]
    number: bool = False


def is_number(value: Any) -> bool:
    """A finite number; true and false are none."""
    # The comparison also turns away nan, infinities and whole numbers too large for a float.
    return (isinstance(value, int | float) and not isinstance(value, bool)
            and abs(value) <= sys.float_info.max)


def is_integer(value: Any) -> bool:
    """A whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _number(allowed: str, fits: Callable[[float], bool]) -> Knob:
    return Knob(allowed, lambda value: is_number(value) and fits(value), number=True)


def _integer(low: int) -> Knob:
    return Knob(f"a whole number, {low} or more",
                lambda value: is_integer(value) and value >= low, number=True)


def _choice(*names: str) -> Knob:
    return Knob(", ".join(names), lambda value: isinstance(value, str) and value in names)


def is_names(value: Any) -> bool:
    """A list of texts, perhaps empty."""
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _fits_freeze(value: Any) -> bool:
    if isinstance(value, dict):
        (key, inner), *more = value.items() or [(None, None)]
        return not more and ((key == "train" and is_names(inner))
                             or (key == "last" and is_integer(inner) and inner >= 0))
    return is_names(value) or (isinstance(value, str) and value in rules.PRESETS)


def _fits_seeds(value: Any) -> bool:
    return (isinstance(value, list) and len(value) > 0 and len(set(map(str, value))) == len(value)
            and all(is_integer(seed) and 0 <= seed < 2**31 for seed in value))


def _fits_scales(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and is_number(scale) and scale > 0 for name, scale in value.items())


def _may_be_path(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value  # of which the system makes an exception


_FRACTION = _number("a number above 0 and at most 1", lambda value: 0 < value <= 1)
_BELOW_ONE = _number("a number from 0 up to but not including 1", lambda value: 0 <= value < 1)
NOT_NEGATIVE = _number("a number, 0 or more", lambda value: value >= 0)
POSITIVE = _number("a number above 0", lambda value: value > 0)
PERCENT = _number("percent, a number from 0 to 100", lambda value: 0 <= value <= 100)
_SWITCH = Knob("true, false", lambda value: isinstance(value, bool))


def _or(word: str, knob: Knob) -> Knob:
    return Knob(f"{word}, or {knob.allowed}", lambda value: value == word or knob.fits(value),
                number=knob.number)


KNOBS: dict[str, Knob] = {
    "dataset": Knob("the name of a dataset, the path of a folder or an archive of images, or the "
                    "address of an archive", _may_be_path),
    "skip_broken": _SWITCH,
    "fraction": _FRACTION,
    "per_class": _integer(0),
    "test_fraction": _FRACTION,
    "validation": _BELOW_ONE,
    "seeds": Knob("a list of different whole numbers from 0 to 2147483647", _fits_seeds),
    "model": Knob("the name of a model", lambda value: isinstance(value, str)),
    "init": Knob("pretrained, scratch, the name of official weights such as IMAGENET1K_V1, or the "
                 "path of a checkpoint", _may_be_path),
    "stem": _choice("original", "cifar"),
    "head": _choice(*heads.names()),
    "head_width": _integer(1),
    "dropout": _or("model", _BELOW_ONE),
    "tune": _choice(*methods.names()),
    "freeze": Knob(rules.ALLOWED, _fits_freeze),
    "frozen_batchnorm": _choice("eval", "train"),
    "lora_rank": _integer(1),
    "lora_alpha": POSITIVE,
    "lora_layers": Knob("all, or a list of names such as layer4.* or *.conv1",
                        lambda value: value == "all" or (is_names(value) and value != [])),
    "tinytl_groups": _integer(1),
    "l2_sp": NOT_NEGATIVE,
    "phases": Knob("a list of phases, such as [{freeze: last_only, epochs: 1}, {freeze: none}]",
                   lambda value: isinstance(value, list)),
    "epochs": _integer(0),
    "batch_size": _integer(2),
    "accumulate": _integer(1),
    "optimizer": _choice("sgd", "adam", "adamw"),
    "lr": POSITIVE,
    "lr_scale": Knob("{part: multiplier above 0}", _fits_scales),
    "lr_decay": _FRACTION,
    "momentum": _BELOW_ONE,
    "weight_decay": NOT_NEGATIVE,
    "decay_biases_and_norms": _SWITCH,
    "schedule": _choice("constant", "cosine", "exponential"),
    "gamma": _FRACTION,
    "warmup_epochs": _integer(0),
    "label_smoothing": _BELOW_ONE,
    "clip_norm": NOT_NEGATIVE,
    "ema": _BELOW_ONE,
    "patience": _integer(0),
    "select": _choice("last", "best"),
    "image_size": _or("weights", _integer(1)),
    "resize": Knob("square, weights, or a whole number, 1 or more",
                   lambda value: value in ("square", "weights") or (
                       is_integer(value) and value >= 1), number=True),
    "normalize": _choice("dataset", "weights"),
    "augment": _choice("none", "trivial", "rand"),
    "flip": _SWITCH,
    "crop_padding": _integer(0),
    "rotation": _number("degrees from 0 to 180", lambda value: 0 <= value <= 180),
    "mixup": NOT_NEGATIVE,
    "cutmix": NOT_NEGATIVE,
}

# Knobs that only some values of another knob read.
READ_ONLY_WITH = {
    "momentum": ("optimizer", "sgd"),
    "gamma": ("schedule", "exponential"),
    "head_width": ("head", "mlp"),
    "lora_rank": ("tune", "lora"),
    "lora_alpha": ("tune", "lora"),
    "lora_layers": ("tune", "lora"),
    "tinytl_groups": ("tune", "tinytl"),
}

# What an entry of `phases` may set; what it does not set it takes from the run.
PHASE_KNOBS = ("freeze", "epochs", "lr", "lr_scale", "lr_decay", "weight_decay", "schedule",
               "gamma", "warmup_epochs")

# What a replicate's training reads from its recipe; the other knobs act through the phases, the
# subset, the weights and the transform that the recipe names.
TRAINING_KNOBS = (
    "model", "stem", "head", "head_width", "dropout", "frozen_batchnorm", "lora_rank",
    "lora_alpha", "lora_layers", "tinytl_groups", "l2_sp", "batch_size", "accumulate",
    "optimizer", "momentum", "decay_biases_and_norms", "label_smoothing", "clip_norm", "ema",
    "patience", "select", "image_size", "augment", "flip", "crop_padding", "rotation", "mixup",
    "cutmix",
)


def check(where: str, knob: Knob, value: Any) -> None:
    """Raise UserError unless a value is allowed for a knob; `where` names file and key."""
    if knob.fits(value):
        return
    if knob.number and isinstance(value, str):
        number = as_number(value)
        if knob.fits(number):
            text = repr(number)  # YAML wants a dot in a number with an exponent
            text = text.replace("e", ".0e") if "e" in text and "." not in text else text
            raise UserError(f"{where}: {value!r} is text to YAML, not a number; write {text}")
    choices = knob.allowed.split(", ")
    raise UserError(f"{where}: {value!r} is not allowed{nearest(value, choices)}; "
                    f"allowed: {knob.allowed}")


def as_number(text: str) -> int | float | None:
    """The number that a text spells in Python, or None."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return None
