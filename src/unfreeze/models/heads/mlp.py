"""Linear, ReLU, Linear in the place of the last layer."""

from unfreeze.models.facts import Model, Parts
from unfreeze.models.heads import dropout, layer_like, set_last
from unfreeze.params.knob import LEAST_ROW, Knob, Makes, whole

KNOBS = (Knob("head_width", 256, whole(1), "of the mlp's hidden layer",
              makes=Makes("a hidden layer", lambda width: width * LEAST_ROW)),)


def outputs(classes: int) -> int:
    return classes


def parts(facts: Model) -> Parts:
    return facts.parts


def attach(model, facts: Model, classes: int, knobs) -> None:
    from torch import nn

    last, width = model.get_submodule(facts.last), knobs["head_width"]
    inputs = getattr(last, "in_features", None) or last.in_channels
    set_last(model, facts, {"hidden": layer_like(last, inputs, width), "relu": nn.ReLU(),
                            **dropout(knobs), "new": layer_like(last, width, classes)})
