"""The models: one file a family, found by the model's name.

A family file offers, without importing torch, so that `plan` can check knobs in no time:

    MODELS   {model name: facts}: its parts, its official weights
    build(name, stem, classes) -> torch.nn.Module, freshly initialised from torch's global seed

What depends on this folder: config.py (facts), training/ (build), recipe.py (fingerprint).
"""

import importlib
import pkgutil
from types import ModuleType

from unfreeze.errors import UserError, nearest


def families() -> dict[str, ModuleType]:
    """{model name: the module of its family}, over every file of this folder that has MODELS."""
    found = {}
    for entry in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{entry.name}")
        for model in getattr(module, "MODELS", {}):
            found[model] = module
    return found


def family(model: str) -> ModuleType:
    """The module that builds `model`.

    Raises:
        UserError: no such model.
    """
    known = families()
    if model not in known:
        names = ", ".join(sorted(known))
        raise UserError(f"{model!r} is no model; allowed: {names}{nearest(model, known)}")
    return known[model]
