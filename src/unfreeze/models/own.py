"""Checkpoints of the user's own, opened safely and checked against the model they are meant for."""

import hashlib
import io
from pathlib import Path

from unfreeze import files, models
from unfreeze.errors import UserError
from unfreeze.models import weights
from unfreeze.params.plan import Checkpoint

SUFFIXES = (".safetensors", ".pth", ".pt")
KEYS = ("state_dict", "model")  # under which training scripts keep the tensors


def take_over(checkpoint: Checkpoint, file: Path) -> None:
    """Write a checkpoint as a safetensors file, and say what of it is not used. It is opened even
    if it was taken over before: whether it fits depends on the model too, and it is at hand.

    Raises:
        UserError: of `read`.
    """
    content, notes = read(checkpoint)
    files.write_bytes(file, content)
    for line in [f"{checkpoint.path}: fits {checkpoint.model}", *notes]:
        print(line)


def read(checkpoint: Checkpoint) -> tuple[bytes, list[str]]:
    """Open a checkpoint and check it.

    Args:
        checkpoint: at its path is a .safetensors file, or a .pth or .pt file with a state dict,
            plain or under one of KEYS. A leading "module." (of DataParallel) is taken off the
            names. All but the head and what the stem initialises anew must fit the model.

    Returns:
        The content of a safetensors file, in float32, and a line for each module that is not taken
        over as a matter of course.

    Raises:
        UserError: it is missing, changed, unreadable, holds no tensors, or does not fit.
    """
    from safetensors.torch import save

    path = Path(checkpoint.path)
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: {path.suffix or 'no suffix'} is no kind of checkpoint; allowed: "
                        f"{', '.join(SUFFIXES)}")
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
    tensors = _open(path, content)
    notes = check(checkpoint, tensors)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    return save(tensors, weights.metadata(arrays, digest)), notes


def _open(path: Path, content: bytes) -> dict:
    """{name: torch.Tensor}, contiguous, floating point numbers in float32."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        state = (load(content) if path.suffix == ".safetensors" else
                 torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except (SafetensorError, *files.UNREADABLE) as error:
        # torch's own words are for programmers: half a page with advice to trust the file.
        raise UserError(f"{path}: no readable checkpoint ({type(error).__name__}): damaged, or it "
                        "holds more than tensors; save a model's state_dict() with torch.save, or "
                        "as safetensors") from None
    for key in KEYS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(
            isinstance(name, str) and isinstance(tensor, torch.Tensor)
            for name, tensor in state.items()):
        raise UserError(f"{path}: holds no state dict; it must be a mapping of names to tensors, "
                        f"or have one under {' or '.join(KEYS)}")
    return {name.removeprefix("module."):
            (tensor.float() if tensor.is_floating_point() else tensor).detach().contiguous()
            for name, tensor in state.items()}


def check(checkpoint: Checkpoint, tensors: dict) -> list[str]:
    """Do the tensors of a checkpoint, {name: torch.Tensor}, fit the model that it is meant for?

    Returns:
        The notes of `read`.

    Raises:
        UserError: they do not; the first that are wrong are named.
    """
    from unfreeze.models.with_torch.outline import outline

    model, stem, image_size = checkpoint.model, checkpoint.stem, checkpoint.image_size
    facts = models.facts_of(model)
    unused = tuple(sorted({module for official in facts.weights.values()
                           for module in official.unused}))
    state = outline(model, stem, 1, image_size).state_dict()  # whatever the head, it is free
    fitted = models.fit_weights(model, tensors, image_size)
    free = (facts.last, *facts.fresh.get(stem, ()))
    _, problems = weights.compare(state, fitted, free, unused)
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
