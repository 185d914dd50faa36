"""From a recipe to its model, as training finds it and as a trained one is loaded into it."""

from pathlib import Path

import torch

from unfreeze import models
from unfreeze.errors import UserError
from unfreeze.models import heads, weights
from unfreeze.training.randomness import counter
from unfreeze.tuning import frozen, groups


def assemble(recipe: dict, seed: int, folder: Path) -> tuple[torch.nn.Module, dict]:
    """The model of a run: built, pretrained tensors copied in, head and tuning method in place.

    Args:
        recipe: content of recipes/RUN.yaml.
        seed: of all that starts from random numbers.
        folder: weights/.

    Returns:
        The model, and {name: tensor} of those of its tensors that came from the weights, as they
        came, with BatchNorm's counters of steps, which start at 0; empty from scratch.

    Raises:
        UserError: the weights are missing, damaged, not those of the recipe, or do not fit; or the
            tuning method has no place in the model.
    """
    knobs, classes = recipe["knobs"], len(recipe["classes"])
    facts = models.facts_of(knobs["model"])
    torch.manual_seed(counter(seed, "initialisation"))
    model = models.build(knobs["model"], knobs["stem"], heads.outputs(knobs["head"], classes),
                         knobs["image_size"])
    loaded = _load(model, recipe, facts, folder)
    heads.attach(model, facts, classes, knobs)
    groups.insert(model, [phase["parts"] for phase in recipe["phases"]], facts, knobs)
    frozen.install(model)
    # By identity: a head or a method may have given a tensor another name. Those that a head threw
    # out are held until here, or a new tensor could take their identity.
    identities = set(map(id, loaded))
    initial = {name: tensor.detach().clone()
               for name, tensor in model.state_dict(keep_vars=True).items()
               if id(tensor) in identities}
    return model, initial


def _load(model: torch.nn.Module, recipe: dict, facts, folder: Path) -> list[torch.Tensor]:
    """Copy the recipe's weights in; the tensors of the model that they filled, and the counters,
    which no file holds."""
    named = recipe["weights"]
    if named is None:
        return []
    file = weights.path(folder, named["name"])
    arrays = weights.read_arrays(file)
    if weights.tensors_digest(arrays) != named["digest"]:
        raise UserError(f"{file}: is not what the recipe names (digest "
                        f"{named['digest'][:12]}...); run `dvc repro`")
    knobs = recipe["knobs"]
    tensors = models.fit_weights(
        knobs["model"], {name: torch.from_numpy(array) for name, array in arrays.items()},
        knobs["image_size"])
    fresh = facts.fresh.get(knobs["stem"], ())
    # A user's own checkpoint may bring its head and stem; official ones have the right head only
    # where they are tested as they are.
    as_it_is = not any(phase["epochs"] for phase in recipe["phases"])
    head = () if as_it_is or heads.keeps_classifier(knobs["head"]) else (facts.last,)
    if named["own"] and not head and weights.misfits(model.state_dict(), tensors, (facts.last,)):
        why, instead = (
            (f"epochs: 0 tests the classifier of {file} as it is", "train it") if as_it_is else
            (f"head: append keeps the classifier of {file}", "choose replace or mlp"))
        outputs = heads.outputs(knobs["head"], len(recipe["classes"]))
        raise UserError(f"{why}, which must have {outputs} outputs, and it has others; {instead}")
    own = {"fresh": (), "optional": (*head, *fresh)} if named["own"] else {"fresh": (*head, *fresh)}
    taken = weights.load_into(model, tensors, what=str(file), unused=tuple(named["unused"]), **own)
    state = model.state_dict(keep_vars=True)
    return [tensor for name, tensor in state.items() if name in taken or weights.is_counter(name)]
