"""Heads: how a model's last layer is fitted to the classes of a dataset.

    replace   a new last layer, initialised as the family does
    append    ReLU and a new Linear after the 1000-way classifier, which stays
    mlp       Linear, ReLU, Linear in the place of the last layer

What depends on it: config.py (parts, without torch) and training/ (attach).
"""

from collections import OrderedDict

from unfreeze.models.facts import Model, Parts

KINDS = ("replace", "append", "mlp")
IMAGENET_CLASSES = 1000


def outputs(head: str, classes: int) -> int:
    """Outputs that a model must be built with before `attach`."""
    return IMAGENET_CLASSES if head == "append" else classes


def parts(facts: Model, head: str) -> Parts:
    """A model's parts with that head: what is appended is the head, and the classifier before it
    belongs to the part `hidden`."""
    if head != "append":
        return facts.parts
    return {
        **{part: modules for part, modules in facts.parts.items()
           if part not in ("hidden", "head")},
        "hidden": (*facts.parts.get("hidden", ()), f"{facts.last}.classifier"),
        "head": (f"{facts.last}.new",),
    }


def attach(model, facts: Model, head: str, classes: int, width: int, dropout: float | str) -> None:
    """Fit the head, in place.

    Args:
        model: torch.nn.Module built with `outputs(head, classes)` outputs.
        head: of KINDS.
        classes: outputs in the end.
        width: of the hidden layer of an MLP.
        dropout: probability before the last layer; "model" leaves what the model has.
    """
    from torch import nn

    last = model.get_submodule(facts.last)
    parent = model.get_submodule(facts.last.rpartition(".")[0])
    own = [module for module in parent.children() if isinstance(module, nn.Dropout)]
    layers: dict[str, nn.Module] = {}
    if dropout != "model" and own and head == "replace":
        for module in own:
            module.p = dropout
    elif dropout != "model":
        layers["dropout"] = nn.Dropout(dropout)
    if head == "append":
        layers = {"classifier": last, "relu": nn.ReLU(), **layers,
                  "new": _layer(last, IMAGENET_CLASSES, classes)}
    elif head == "mlp":
        layers = {"hidden": _layer(last, _inputs(last), width), "relu": nn.ReLU(), **layers,
                  "new": _layer(last, width, classes)}
    elif layers:
        layers["new"] = last
    if layers:
        model.set_submodule(facts.last, nn.Sequential(OrderedDict(layers)))


def _inputs(layer) -> int:
    return getattr(layer, "in_features", None) or layer.in_channels


def _layer(like, inputs: int, outputs: int):
    """A linear layer of the kind of `like`, which may be a 1 x 1 convolution (SqueezeNet)."""
    from torch import nn

    if isinstance(like, nn.Linear):
        return nn.Linear(inputs, outputs)
    return nn.Conv2d(inputs, outputs, kernel_size=1)
