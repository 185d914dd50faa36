"""Ways of tuning the blocks that are not frozen: one file a method, found by its name.

A method's file offers:

    insert(model, modules, facts, knobs, image_size)
                                           adds what the method needs to those blocks, in place; in
                                           eval mode the logits stay bit for bit the same (not with
                                           vpt, which says why); knobs: of the run, with the
                                           method's own
    trained(model, modules)                names of the parameters that train in those blocks
    merge(model)                           only where a method adds to weights: lets those weights
                                           hold what it adds to them, in place
    KNOBS                                  only where it has knobs of its own (see params/knob.py)
    NEEDS                                  only where not every model has a place for it: (attribute
                                           of models.facts.Model that must not be empty, or function
                                           of models.with_torch.transformers that must find
                                           something in the model, words)

Where a parameter of a module that a method adds trains and gets no gradient (a model may read a
layer's weight and never call the layer), it would never move, and that is an error before anything
is trained.
"""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

from unfreeze.errors import Fault, nearest
from unfreeze.models.facts import is_within


def names() -> list[str]:
    """Of all methods, sorted."""
    return sorted(entry.name for entry in pkgutil.iter_modules(__path__))


def method(name: str) -> ModuleType:
    """The module of a method. Imports torch.

    Raises:
        Fault: it is none of `names`.
    """
    known = names()
    if name not in known:
        raise Fault("tune", f"{name!r} is no way of tuning{nearest(name, known)}; allowed: "
                            f"{', '.join(known)}")
    return importlib.import_module(f"{__name__}.{name}")


def added(model) -> Iterator[tuple[str, object]]:
    """(path, module) of what methods have added to a model."""
    for path, module in model.named_modules():
        if type(module).__module__.startswith("unfreeze.tuning.methods."):
            yield path, module


def parameters(model, modules: list[str]) -> Iterator[tuple[str, object, str]]:
    """(full name, the module that owns it, its name there) of every parameter in some blocks."""
    for path, owner in model.named_modules():
        for name, _ in owner.named_parameters(recurse=False):
            full = f"{path}.{name}" if path else name
            if is_within(full, modules):
                yield full, owner, name
