"""Pretrained weights as safetensors files whose identity is a digest over their tensors."""

import hashlib
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from unfreeze.errors import UserError
from unfreeze.models.facts import is_within


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


def metadata(tensors: dict[str, np.ndarray], sha256: str) -> dict[str, str]:
    """What a safetensors file says of where it comes from, where no digest is pinned.

    Args:
        tensors: its content.
        sha256: of the file that they were read from.
    """
    return {"origin": f"{sha256} {tensors_digest(tensors)}"}


def origin(file: Path) -> str:
    """SHA-256 of the file that a safetensors file was made from; "" where it does not say so, or
    its tensors are not the ones that were put in, or it is missing or damaged."""
    try:
        with safe_open(file, "numpy") as opened:
            sha256, _, digest = (opened.metadata() or {}).get("origin", "").partition(" ")
        return sha256 if digest == tensors_digest(read_arrays(file)) else ""
    except (OSError, SafetensorError, UserError):
        return ""


def load_into(model, tensors: dict, fresh: tuple[str, ...], what: str,
              unused: tuple[str, ...] = (), optional: tuple[str, ...] = ()) -> list[str]:
    """Copy pretrained tensors into a model, all but those of the modules that start anew.

    Args:
        model: torch.nn.Module, changed in place.
        tensors: {name: torch.Tensor}.
        fresh: modules whose tensors are not taken over.
        what: names the file, for messages.
        unused: modules of the file that the model does not have.
        optional: modules that are taken over where all of their tensors are there and of the right
            shape, and start anew otherwise.

    Returns:
        Names of the tensors that were taken over, in the model's order.

    Raises:
        UserError: tensors that are missing, left over or of another shape, by name.
    """
    state = model.state_dict()
    anew = misfits(state, tensors, optional)
    taken, problems = compare(state, tensors, (*fresh, *anew), unused)
    if problems:
        raise UserError(f"{what}: does not fit the model: {in_short(problems)}; "
                        "delete it and run `dvc repro`, or choose the model it belongs to")
    # One by one, since some models' load_state_dict wants to know the version of the file.
    for name in taken:
        state[name].copy_(tensors[name])
    return taken


def compare(state: dict, tensors: dict, fresh: tuple[str, ...],
            unused: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
    """What a model may take over from a file.

    Args:
        state: {name: torch.Tensor} of the model.
        tensors: {name: torch.Tensor} of the file.
        fresh: modules that count neither in the model nor in the file.
        unused: modules that do not count in the file.

    Returns:
        Names of the tensors that fit, and a line for each that is missing, left over or of another
        shape.
    """
    wanted = [name for name in state if not is_counter(name) and not is_within(name, fresh)]
    offered = [name for name in tensors
               if not is_counter(name) and not is_within(name, (*fresh, *unused))]
    problems = [f"missing {name}" for name in wanted if name not in tensors]
    problems += [f"unexpected {name}" for name in offered if name not in state]
    problems += [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(state[name].shape)}"
        for name in wanted if name in tensors and tensors[name].shape != state[name].shape
    ]
    return wanted, problems


def misfits(state: dict, tensors: dict, modules: tuple[str, ...]) -> tuple[str, ...]:
    """Those of some modules that cannot be taken over whole."""
    return tuple(
        module for module in modules
        if compare({name: tensor for name, tensor in state.items() if is_within(name, (module,))},
                   {name: tensor for name, tensor in tensors.items() if is_within(name, (module,))},
                   ())[1])


def in_short(problems: list[str]) -> str:
    """The first of them, for a line."""
    more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
    return f"{', '.join(problems[:3])}{more}"
