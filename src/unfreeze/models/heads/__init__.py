"""Heads: how a model's last layer is fitted to the classes of a dataset. One file a head, found by
its name.

A head's file offers, without importing torch at its top, so that `plan` can read it:

    outputs(classes)       outputs that the model is built with
    parts(facts)           the model's parts with this head
    attach(model, facts, classes, knobs)   fits the head, in place
    KEEPS_CLASSIFIER       True, only where the classifier of the weights stays
    KNOBS                  only where it has knobs of its own (see params/knob.py)
"""

import importlib
import pkgutil
from collections import OrderedDict
from types import ModuleType

from unfreeze.errors import Fault, nearest
from unfreeze.models.facts import Model, Parts

IMAGENET_CLASSES = 1000


def names() -> list[str]:
    """Of all heads, sorted."""
    return sorted(entry.name for entry in pkgutil.iter_modules(__path__))


def outputs(head: str, classes: int) -> int:
    """Outputs that a model must be built with before `attach`."""
    return _head(head).outputs(classes)


def parts(facts: Model, head: str) -> Parts:
    """A model's parts with that head."""
    return _head(head).parts(facts)


def attach(model, facts: Model, classes: int, knobs) -> None:
    """Fit the head, in place.

    Args:
        model: torch.nn.Module built with `outputs(head, classes)` outputs.
        classes: outputs in the end.
        knobs: {knob: value}: head, dropout (probability before the last layer; "model" leaves what
            the model has), and the head's own.
    """
    _head(knobs["head"]).attach(model, facts, classes, knobs)


def dropout(knobs) -> dict:
    """{name: layer} of what a head puts before its last layer: a Dropout, or nothing."""
    from torch import nn

    return {} if knobs["dropout"] == "model" else {"dropout": nn.Dropout(knobs["dropout"])}


def set_last(model, facts: Model, layers: dict) -> None:
    """Put {name: layer}, one after another, in the place of a model's last layer."""
    from torch import nn

    model.set_submodule(facts.last, nn.Sequential(OrderedDict(layers)))


def layer_like(last, inputs: int, outputs: int):
    """A linear layer of the kind of `last`, which may be a 1 x 1 convolution (SqueezeNet)."""
    from torch import nn

    if isinstance(last, nn.Linear):
        return nn.Linear(inputs, outputs)
    return nn.Conv2d(inputs, outputs, kernel_size=1)


def keeps_classifier(head: str) -> bool:
    """Whether the classifier that the weights bring stays in the model."""
    return getattr(_head(head), "KEEPS_CLASSIFIER", False)


def _head(name: str) -> ModuleType:
    known = names()
    if name not in known:
        raise Fault("head", f"{name!r} is no head{nearest(name, known)}; allowed: "
                            f"{', '.join(known)}")
    return importlib.import_module(f"{__name__}.{name}")
