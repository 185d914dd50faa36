"""From a recipe to its model, as training finds it and as a trained one is loaded into it."""

from pathlib import Path

import torch

from unfreeze import models
from unfreeze.errors import UserError
from unfreeze.models import heads, weights
from unfreeze.models.facts import Model
from unfreeze.models.with_torch.outline import on_meta
from unfreeze.recipe import Recipe
from unfreeze.training.randomness import counter
from unfreeze.tuning import groups, lean, rules
from unfreeze.tuning.rules import Row


def tables(recipe: Recipe) -> list[list[Row]]:
    """The table of the parts in each phase of a recipe, as of `rules.phase_table`."""
    facts = models.facts_of(recipe.knobs["model"])
    return [rules.phase_table(facts, recipe.knobs, phase.knobs, recipe.weights is None)
            for phase in recipe.phases]


def assemble(recipe: Recipe, seed: int,
             folder: Path) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """The model of a run: built, pretrained tensors copied in, head and tuning method in place.

    Args:
        recipe: of the run.
        seed: of all that starts from random numbers.
        folder: of weights.

    Returns:
        The model, and {name: tensor} of those of its tensors that came from the weights, as they
        came, with BatchNorm's counters of steps, which start at 0; empty from scratch.

    Raises:
        UserError: the weights are missing, damaged, not those of the recipe, or do not fit; or the
            tuning method has no place in the model.
    """
    facts = models.facts_of(recipe.knobs["model"])
    torch.manual_seed(counter(seed, "initialisation"))
    model = _build(recipe)
    loaded = _load(model, recipe, facts, folder)
    _complete(model, recipe, facts)
    # By identity: a head or a method may have given a tensor another name. Those that a head threw
    # out are held until here, or a new tensor could take their identity.
    identities = set(map(id, loaded))
    initial = {name: tensor.detach().clone()
               for name, tensor in model.state_dict(keep_vars=True).items()
               if id(tensor) in identities}
    return model, initial


def outline(recipe: Recipe) -> torch.nn.Module:
    """The model of `assemble` without numbers, on the meta device: its structure and shapes, for
    which no weights need be there.

    Raises:
        UserError: the tuning method has no place in the model.
    """
    def build() -> torch.nn.Module:
        model = _build(recipe)
        _complete(model, recipe, models.facts_of(recipe.knobs["model"]))
        return model

    return on_meta(build)


def _build(recipe: Recipe) -> torch.nn.Module:
    """The model as its family has it."""
    knobs = recipe.knobs
    return models.build(knobs["model"], knobs["stem"],
                        heads.outputs(knobs["head"], len(recipe.classes)),
                        recipe.preprocessing.image_size)


def _complete(model: torch.nn.Module, recipe: Recipe, facts: Model) -> None:
    """Put head and tuning method in place."""
    knobs = recipe.knobs
    heads.attach(model, facts, len(recipe.classes), knobs)
    groups.insert(model, tables(recipe), facts, knobs, recipe.preprocessing.image_size)
    lean.install(model)


def _load(model: torch.nn.Module, recipe: Recipe, facts: Model,
          folder: Path) -> list[torch.Tensor]:
    """Copy the recipe's weights in; the tensors of the model that they filled, and the counters,
    which no file holds."""
    pinned, knobs = recipe.weights, recipe.knobs
    if pinned is None:
        return []
    file = weights.path(folder, pinned.name)
    arrays = weights.read_arrays(file)
    if weights.tensors_digest(arrays) != pinned.digest:
        raise UserError(f"{file}: is not what the recipe names (digest {pinned.digest[:12]}...); "
                        "run `dvc repro`")
    tensors = models.fit_weights(
        knobs["model"], {name: torch.from_numpy(array) for name, array in arrays.items()},
        recipe.preprocessing.image_size)
    fresh = facts.fresh.get(knobs["stem"], ())
    # A user's own checkpoint may bring its head and stem; official ones have the right head only
    # where they are tested as they are.
    keeps_head = not recipe.trains or heads.keeps_classifier(knobs["head"])
    anew = fresh if keeps_head else (facts.last, *fresh)
    if pinned.own and keeps_head:
        _check_head(model, tensors, recipe, facts, file)
    taken = weights.load_into(model, tensors, what=str(file), unused=pinned.unused,
                              fresh=() if pinned.own else anew,
                              optional=anew if pinned.own else ())
    state = model.state_dict(keep_vars=True)
    return [tensor for name, tensor in state.items() if name in taken or weights.is_counter(name)]


def _check_head(model: torch.nn.Module, tensors: dict[str, torch.Tensor], recipe: Recipe,
                facts: Model, file: Path) -> None:
    """The last layer of a checkpoint of the user's own stays, so it must fit."""
    if not weights.misfits(model.state_dict(), tensors, (facts.last,)):
        return
    head = recipe.knobs["head"]
    why, instead = (
        (f"head: {head} keeps the classifier of {file}", "choose replace or mlp") if recipe.trains
        else (f"epochs: 0 tests the classifier of {file} as it is", "train it"))
    raise UserError(f"{why}, which must have {heads.outputs(head, len(recipe.classes))} outputs, "
                    f"and it has others; {instead}")
