"""A new last layer, initialised as the family does."""

from unfreeze.models.facts import Model, Parts
from unfreeze.models.heads import dropout, set_last


def outputs(classes: int) -> int:
    return classes


def parts(facts: Model) -> Parts:
    return facts.parts


def attach(model, facts: Model, classes: int, knobs) -> None:
    """The model has the layer already; dropout is set where there is one beside it."""
    from torch import nn

    if knobs["dropout"] == "model":
        return
    parent = model.get_submodule(facts.last.rpartition(".")[0])
    beside = [module for module in parent.children() if isinstance(module, nn.Dropout)]
    for module in beside:
        module.p = knobs["dropout"]
    if not beside:
        set_last(model, facts, {**dropout(knobs), "new": model.get_submodule(facts.last)})
