"""Trained models on disk: only what training changed, and the whole model back from it.

_made/runs/RUN/model.safetensors holds, for each seed, the tensors that differ from the pretrained
weights, under the name SEED/TENSOR; the recipe says which weights those are.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from unfreeze import places
from unfreeze import recipe as recipes
from unfreeze.errors import UserError
from unfreeze.params.faults import in_file
from unfreeze.training.assemble import assemble


def changed(state: dict[str, torch.Tensor],
            initial: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a state dict that are not bit for bit those of the initial one, on the CPU."""
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    return {name: tensor for name, tensor in on_cpu.items()
            if name not in initial or not _same_bits(tensor, initial[name])}


def _same_bits(tensor: torch.Tensor, other: torch.Tensor) -> bool:
    """Unlike torch.equal, this tells 0 from -0 and takes a NaN for itself."""
    return (tensor.shape == other.shape and tensor.dtype == other.dtype
            and tensor.numpy().tobytes() == other.contiguous().numpy().tobytes())


def load(run: str, seed: int | None = None, root: Path = Path(".")) -> torch.nn.Module:
    """A trained model, bit for bit as it was when training ended, in eval mode.

    Args:
        run: a run of the project at `root`, reproduced or restored (`dvc checkout`).
        seed: which replicate; the first when None.
        root: the study's folder.

    Raises:
        UserError: something is missing, damaged or does not fit.
    """
    written = root / places.RECIPES / f"{run}.yaml"
    recipe = recipes.read(written)
    seed = next(iter(recipe.seeds)) if seed is None else seed
    if seed not in recipe.seeds:
        raise UserError(f"{places.RECIPES}/{run}.yaml: no seed {seed}; there are "
                        f"{', '.join(map(str, recipe.seeds))}")
    path = root / places.RUNS / run / "model.safetensors"
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: missing or damaged ({error}); run `dvc repro`") from None
    trained = {name.partition("/")[2]: tensor for name, tensor in stored.items()
               if name.startswith(f"{seed}/")}
    with in_file(str(written)):
        model, initial = assemble(recipe, seed, root / places.WEIGHTS)
    tensors = initial | trained
    state = model.state_dict()
    for name, tensor in state.items():
        if name not in tensors or tensors[name].shape != tensor.shape:
            raise UserError(f"{path}: does not hold seed {seed} of this recipe ({name} is missing "
                            "or of another shape); run `dvc repro`")
    put(model, tensors)
    return model.eval()


@torch.no_grad()
def put(model: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Copy tensors into a model by their names. One by one, since some models' load_state_dict
    wants more than names and tensors (MNASNet: the version of the file)."""
    state = model.state_dict()
    for name, tensor in tensors.items():
        state[name].copy_(tensor)
