"""The models: one file a family, found by the model's name; torchvision's others by theirs.

A family file offers, without importing torch, so that `plan` can check knobs in no time:

    MODELS   {model name: facts.Model}
    build(name, stem, classes, image_size) -> torch.nn.Module, freshly initialised from torch's
        global seed, with a head for `classes`
    fit_weights(name, tensors, image_size) -> tensors, where official tensors need adapting
    check_size(name, stem, image_size), where `strides` and `multiple` do not say which sides a
        model takes: raises UserError for one that it does not take

Every other classification model of torchvision goes by its name there: torchvision_zoo.py builds
it, with_torch/divide.py finds its facts. Those of timm are called timm/NAME: timm_zoo.py and
with_torch/divide_timm.py. What needs torch at import lies in with_torch/.
"""

import functools
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from unfreeze.errors import UserError, nearest
from unfreeze.models.facts import Model, Weights

# The families of the models that have no file of their own.
ZOO, TIMM = "torchvision_zoo", "timm_zoo"
OF_TIMM = "timm/"  # how those of the second begin


@functools.cache
def by_model() -> dict[str, ModuleType]:
    """{model name: the module of its family}, over every file of this folder that has MODELS."""
    found = {}
    for entry in pkgutil.iter_modules([str(Path(__file__).with_name("families"))]):
        module = _family(entry.name)
        for model in getattr(module, "MODELS", {}):
            found[model] = module
    return found


def names() -> list[str]:
    """All models there are but timm's. Imports torch."""
    return sorted({*by_model(), *_family(ZOO).names()})


def names_like(pattern: str) -> list[str]:
    """Those among which the models of a pattern are: timm's only where it begins as they do, and
    with the tags of their weights where it has a dot.

    Raises:
        UserError: they are timm's, and it is not installed.
    """
    if not pattern.startswith(OF_TIMM):
        return names()
    return _family(TIMM).names(tagged="." in pattern)


def facts_of(name: str) -> Model:
    """What is known of a model. Imports torch where it is none of `families`.

    Raises:
        UserError: no such model, or one that cannot be divided into parts.
    """
    if name in by_model():
        return by_model()[name].MODELS[name]
    return _builder(name).facts(name)


def official_weights(model: str, key: str) -> Weights:
    """Official weights by their key in torchvision.

    Raises:
        UserError: no such model, or none of its weights is called so.
    """
    known = facts_of(model).weights
    if key not in known:
        raise UserError(f"{model} has no weights {key!r}{nearest(key, known)}; there are "
                        f"{', '.join(known) or 'none'}")
    return known[key]


def unused(model: str, key: str | None) -> tuple[str, ...]:
    """Modules of the files of official weights that the model does not have, sorted.

    Args:
        model: its name.
        key: of the weights; None: of any of them, since a checkpoint of the user's own may hold
            what any of them does.

    Raises:
        UserError: the model has no weights of that key.
    """
    known = [official_weights(model, key)] if key else facts_of(model).weights.values()
    return tuple(sorted({module for each in known for module in each.unused}))


def stated(model: str, weights: str) -> Weights | None:
    """What is known of weights by the name of their file; None of a checkpoint of the user's own.

    Args:
        model: that they are of. weights: their name.
    """
    return next((each for each in facts_of(model).weights.values() if each.name == weights), None)


def build(name: str, stem: str, classes: int, image_size: int):
    """A model with a new head, initialised as torchvision does from torch's global seed.

    Args:
        name: of `names`.
        stem: one of the `strides` of its facts.
        classes: outputs of the head.
        image_size: side of the images, in pixels; decides the shape of a ViT's position embeddings.

    Returns:
        torch.nn.Module: (N, 3, image_size, image_size) float images to (N, classes) logits.

    Raises:
        UserError: no such model.
    """
    return _builder(name).build(name, stem, classes, image_size)


def fit_weights(name: str, tensors: dict, image_size: int) -> dict:
    """Pretrained tensors as this model names and shapes them at another image size.

    Args:
        name: of `names`.
        tensors: {name: torch.Tensor} as the official file holds them; left as they are.
        image_size: side of the images, in pixels.

    Returns:
        {name: torch.Tensor}; the same tensors where nothing needs adapting.

    Raises:
        UserError: no such model.
    """
    fit = getattr(_builder(name), "fit_weights", None)
    return fit(name, tensors, image_size) if fit else tensors


def family(name: str) -> str:
    """The name of the file in families/ that builds a model.

    Raises:
        UserError: no such model.
    """
    return _builder(name).__name__.rpartition(".")[2]


def check_size(name: str, stem: str, image_size: int) -> None:
    """Raise where a model does not take square images of that side, in pixels, though its strides
    leave room.

    Raises:
        UserError: why, and what it takes.
    """
    if check := getattr(_builder(name), "check_size", None):
        check(name, stem, image_size)


def _builder(name: str) -> ModuleType:
    if name in by_model():
        return by_model()[name]
    if name.startswith(OF_TIMM):
        return _family(TIMM)
    _check(name)
    return _family(ZOO)


def _check(name: str) -> None:
    known = names()
    if name not in known:
        raise UserError(f"{name!r} is no model{nearest(name, known)}; allowed: {', '.join(known)}, "
                        f"and those of timm as {OF_TIMM}NAME")


def _family(name: str) -> ModuleType:
    # By a name made at run time, so that a run depends on its own family alone (fingerprint/).
    return importlib.import_module(f"{__name__}.families.{name}")
