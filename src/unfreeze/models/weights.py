"""Pretrained weights as safetensors files whose identity is a digest over their tensors.

What depends on it: the stages fetch-weights and pin (digest, without torch), training/ (loading).
"""

import hashlib
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from unfreeze.errors import UserError


def path(folder: Path, name: str) -> Path:
    """Where the weights of that name lie."""
    return folder / f"{name}.safetensors"


def tensors_digest(tensors: dict[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of the names.

    BatchNorm's `num_batches_tracked` is left out: no result depends on it (it matters only to a
    momentum of None), and old and new official files differ in having it.
    """
    total = hashlib.sha256()
    for name in sorted(tensors):
        if not is_counter(name):
            tensor = np.ascontiguousarray(tensors[name])
            total.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
            total.update(tensor.data)
    return total.hexdigest()


def is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file as NumPy arrays.

    Raises:
        UserError: missing or damaged.
    """
    try:
        return load_file(file)
    except FileNotFoundError:
        raise UserError(f"{file}: missing; run `dvc repro`, which fetches it") from None
    except SafetensorError as error:
        raise UserError(f"{file}: not a whole safetensors file ({error}); delete it and run "
                        "`dvc repro`") from None


def load_into(model, tensors: dict, fresh: tuple[str, ...], what: str) -> None:
    """Copy pretrained tensors into a model, all but those of the modules that start anew.

    Args:
        model: torch.nn.Module, changed in place.
        tensors: {name: torch.Tensor}.
        fresh: modules whose tensors are not taken over.
        what: names the file, for messages.

    Raises:
        UserError: tensors that are missing, left over or of another shape, by name.
    """
    def taken(name: str) -> bool:
        return not is_counter(name) and not any(name.startswith(f"{part}.") for part in fresh)

    state = {name: tensor for name, tensor in model.state_dict().items() if taken(name)}
    offered = {name: tensor for name, tensor in tensors.items() if taken(name)}
    problems = [f"missing {name}" for name in state if name not in offered]
    problems += [f"unexpected {name}" for name in offered if name not in state]
    problems += [
        f"{name} is {tuple(offered[name].shape)}, not {tuple(state[name].shape)}"
        for name in state if name in offered and offered[name].shape != state[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(f"{what}: does not fit the model: {', '.join(problems[:3])}{more}; "
                        "delete it and run `dvc repro`, or choose the model it belongs to")
    model.load_state_dict(offered, strict=False)
