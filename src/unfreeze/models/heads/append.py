"""ReLU and a new Linear after the 1000-way classifier of ImageNet, which stays."""

from unfreeze.models.facts import Model, Parts
from unfreeze.models.heads import IMAGENET_CLASSES, dropout, layer_like, set_last

KEEPS_CLASSIFIER = True


def outputs(classes: int) -> int:
    return IMAGENET_CLASSES


def parts(facts: Model) -> Parts:
    """What is appended is the head; the classifier before it belongs to the part `hidden`."""
    return {
        **{part: modules for part, modules in facts.parts.items()
           if part not in ("hidden", "head")},
        "hidden": (*facts.parts.get("hidden", ()), f"{facts.last}.classifier"),
        "head": (f"{facts.last}.new",),
    }


def attach(model, facts: Model, classes: int, knobs) -> None:
    from torch import nn

    last = model.get_submodule(facts.last)
    set_last(model, facts, {"classifier": last, "relu": nn.ReLU(), **dropout(knobs),
                            "new": layer_like(last, IMAGENET_CLASSES, classes)})
