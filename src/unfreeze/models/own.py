"""Checkpoints of the user's own, opened safely and checked against the model they are meant for."""

import functools
import hashlib
from pathlib import Path

from unfreeze import files, models
from unfreeze.errors import UserError, in_a_terminal
from unfreeze.models import weights
from unfreeze.models.opening import SUFFIXES, fits_suffix, of_the_model, open_tensors
from unfreeze.params.plan import Checkpoint


def take_over(checkpoint: Checkpoint, file: Path) -> None:
    """Write a checkpoint as a safetensors file, and say what of it is not used. It is opened even
    if it was taken over before: whether it fits depends on the model too, and it is at hand.

    Raises:
        UserError: of `read`.
    """
    content, notes = read(checkpoint)
    files.write_bytes(file, content)
    for line in [f"{checkpoint.path}: fits {checkpoint.model}", *notes]:
        print(in_a_terminal(line))


def read(checkpoint: Checkpoint) -> tuple[bytes, list[str]]:
    """Open a checkpoint and check it.

    Args:
        checkpoint: at its path is a file with a state dict, plain or under one of opening.KEYS.
            What wraps a model ("module." of DataParallel) is taken off the names. All but the head
            and what the stem initialises anew must fit the model.

    Returns:
        The content of a safetensors file, in float32, and a line for each module that is not taken
        over as a matter of course.

    Raises:
        UserError: it is missing, changed, unreadable, holds no tensors, or does not fit.
    """
    from safetensors.torch import save

    path = Path(checkpoint.path)
    if not fits_suffix(path):
        raise UserError(f"{path}: {path.suffix or 'no suffix'} is no kind of checkpoint; allowed: "
                        f"{', '.join(SUFFIXES)}")
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise UserError(f"{path}: cannot be read (no ordinary file); `init` in params.yaml names "
                        "it")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); `init` in params.yaml names "
                        "it") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != checkpoint.digest:
        raise UserError(f"{path}: has changed since plan ran (SHA-256 was "
                        f"{checkpoint.digest[:12]}..., is {digest[:12]}...); run "
                        "`dvc repro -f plan`, then `dvc repro`")
    tensors, notes = open_tensors(path, content)
    state = _state(checkpoint)
    tensors, outside = of_the_model(path, tensors, state)
    _check_numbers(path, state, tensors)
    notes += [*outside, *check(checkpoint, tensors)]
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    return save(tensors, weights.metadata(arrays, digest)), notes


@functools.cache  # names are read by it, and then it is what they must fit
def _state(checkpoint: Checkpoint) -> dict:
    """{name: torch.Tensor without content} of the model that a checkpoint is meant for."""
    from unfreeze.models.with_torch.outline import outline

    # Whatever the head, it is free.
    return outline(checkpoint.model, checkpoint.stem, 1, checkpoint.image_size).state_dict()


def check(checkpoint: Checkpoint, tensors: dict) -> list[str]:
    """Do the tensors of a checkpoint, {name: torch.Tensor}, fit the model that it is meant for?

    Returns:
        The notes of `read`.

    Raises:
        UserError: they do not; the first that are wrong are named.
    """
    model, stem, image_size = checkpoint.model, checkpoint.stem, checkpoint.image_size
    facts = models.facts_of(model)
    state = _state(checkpoint)
    fitted = models.fit_weights(model, tensors, image_size)
    free = (facts.last, *facts.fresh.get(stem, ()))
    _, problems = weights.compare(state, fitted, free, models.unused(model, None))
    if problems:
        raise UserError(f"{checkpoint.path}: is no checkpoint of {model}: "
                        f"{weights.in_short(problems)}; set `model` to the one it belongs to")
    notes = [f"{module}: new, the checkpoint's does not fit"
             for module in weights.misfits(state, fitted, free[1:])]
    head = fitted.get(f"{facts.last}.weight")
    if head is None:
        return [*notes, "head: new, the checkpoint has none"]
    return [*notes, f"head: the checkpoint has {len(head)} outputs; new, except for as many "
                    "classes"]


def _check_numbers(path: Path, state: dict, tensors: dict) -> None:
    """Raise where tensors of a model hold what it cannot compute with."""
    for name, tensor in tensors.items():
        if name not in state or not state[name].is_floating_point():
            continue
        if not tensor.is_floating_point():
            raise UserError(f"{path}: {name} is {tensor.dtype}, and must be of floating-point "
                            "numbers; save the state_dict() of a model that is not quantized")
        if wrong := int((~tensor.isfinite()).sum()):
            raise UserError(f"{path}: {name} has nan or infinite numbers ({wrong} of "
                            f"{tensor.numel()}); the training that it is from has diverged")
