"""The rank of LoRA that fits a model: no update can have a higher one than the weight that it sits
beside, and some models have small ones, such as those that squeeze and excite in EfficientNets."""

from functools import lru_cache

from unfreeze import models
from unfreeze.errors import UserError
from unfreeze.params.plugins import read_knobs

_KNOBS = read_knobs("tuning/methods", "lora")
_RANK = _KNOBS[0]
RANK = _RANK.default  # where it fits


@lru_cache
def rank_for(model: str) -> int:
    """The highest of the default, 4, 2 and 1 that every layer of a model takes.

    Args:
        model: its name.
    """
    import torch

    from unfreeze.models.with_torch.outline import outline
    from unfreeze.tuning.methods import lora

    facts = models.facts_of(model)
    modules = [module for part, of_it in facts.parts.items() if part != "head" for module in of_it]
    size = next(iter(facts.weights.values())).crop
    knobs = {knob.name: knob.default for knob in _KNOBS}
    for rank in (RANK, 4, 2):
        built = outline(model, "original", 2, size)
        with torch.device("meta"):
            try:
                lora.insert(built, modules, facts, knobs | {_RANK.name: rank}, size)
                return rank
            except UserError:
                continue
    return 1
