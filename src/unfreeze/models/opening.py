"""Files of checkpoints as training scripts leave them, opened without running what is in them.

What lies beside the tensors (arguments, NumPy numbers, callbacks) is passed over: where a pickle
names a class, an object that does nothing stands in its place.
"""

import io
import pickle
import re
import warnings
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from unfreeze.errors import UserError

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".pth.tar")
# Under which training scripts keep the tensors; of several, the first is taken.
KEYS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "ema", "model_ema",
        "ema_state_dict", "state_dict_ema")
# What wraps a model comes before its names: torch.compile, DataParallel, Lightning, a bare trunk.
PREFIXES = ("module.", "model.", "backbone.", "net.", "network.")
_WRAPPED = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_NOT_OF_THE_MODEL = {"n_averaged"}  # a count that torch.optim.swa_utils keeps
_MOST = 1 << 32  # numbers in all tensors together: 17 GB; torch lets few bytes pose as many
_CLASSES = 50  # that a checkpoint may name beside tensors
_IN_MESSAGE = 6


def fits_suffix(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def open_tensors(path: Path, content: bytes) -> tuple[dict, list[str]]:
    """The tensors of a checkpoint.

    Args:
        path: for its suffix and for messages. content: of the file.

    Returns:
        {name: torch.Tensor}, each with memory of its own, floating-point numbers in float32; and a
        line for what else might have been meant.

    Raises:
        UserError: the file is damaged, holds no tensors, or some that no model has: sparse ones,
            complex ones, ones without content.
    """
    import torch

    found, notes = _state_dict(path, _read(path, content))
    found = {name: tensor for name, tensor in found.items() if name not in _NOT_OF_THE_MODEL}
    for name, tensor in found.items():
        if problem := _unusable(tensor):
            raise UserError(f"{path}: {name} is {problem}; save the model's state_dict() on a CPU, "
                            "of ordinary tensors")
    if sum(tensor.numel() for tensor in found.values()) > _MOST:
        raise UserError(f"{path}: its tensors have more than {_MOST:,} numbers, more than any "
                        "model here")
    return {name: (tensor.float() if tensor.is_floating_point() else tensor).detach().clone(
        memory_format=torch.contiguous_format) for name, tensor in found.items()}, notes


def _unusable(tensor) -> str:
    import torch

    if tensor.layout != torch.strided:
        return f"sparse ({tensor.layout})"
    if tensor.is_meta:
        return "a meta tensor, without content"
    if tensor.is_quantized:
        return f"quantized ({tensor.dtype})"
    return f"complex ({tensor.dtype})" if tensor.is_complex() else ""


def of_the_model(path: Path, tensors: dict, own: Collection[str]) -> tuple[dict, list[str]]:
    """Tensors by the names that a model has for them.

    Args:
        tensors: {name: torch.Tensor} of the file. own: names of the model's.

    Returns:
        {name without what wraps the model: tensor}, and a line for what lies outside of it.

    Raises:
        UserError: two of them come to one name.
    """
    plain = {name: _WRAPPED.sub("", name) for name in tensors}
    trunk = _trunk(plain.values(), own)
    bare = {name: _bare(inner, own, trunk) for name, inner in plain.items()}
    wrapped = Counter(prefix for prefix, inner in bare.values() if inner in own)
    (around, _), = wrapped.most_common(1) or [("", 0)]
    found, outside = {}, []
    for name, (prefix, inner) in bare.items():
        if prefix != around and inner not in own:
            outside.append(name)
        elif inner in found:
            raise UserError(f"{path}: holds {inner} more than once ({name}, and another); save "
                            "the state_dict() of one model")
        else:
            found[inner] = tensors[name]
    return found, [f"not of the model, left out: {_few(outside)}"] if outside else []


def _trunk(names: Collection[str], own: Collection[str]) -> str:
    """What stands before most of a model's names, whatever it is called: "encoder." Where two do,
    nobody can tell which is meant: ""."""
    before = Counter()
    for name in names:
        parts = name.split(".")
        start = next((at for at in range(len(parts)) if ".".join(parts[at:]) in own), 0)
        before[name[:len(name) - len(".".join(parts[start:]))]] += start > 0
    likeliest = [*before.most_common(2), ("", 0)]
    (prefix, found), (_, next_found) = likeliest[:2]
    return prefix if found > max(next_found, len(own) / 2) else ""


def _bare(name: str, own: Collection[str], trunk: str) -> tuple[str, str]:
    """(what wraps the model, the model's own name)."""
    if trunk and name.startswith(trunk) and name[len(trunk):] in own:
        return trunk, name[len(trunk):]
    inner = name
    while inner not in own and inner.startswith(PREFIXES):
        inner = inner.partition(".")[2]
    return name[:len(name) - len(inner)], inner


class _PassedOver:
    """Stands for an object of a class that is not imported."""

    kind = ""

    def __new__(cls, *args, **named):
        return object.__new__(cls)

    def __init__(self, *args, **named) -> None:
        pass

    def __setstate__(self, state) -> None:
        pass


def _read(path: Path, content: bytes):
    """What is in the file."""
    from safetensors.torch import load

    try:
        with warnings.catch_warnings(action="ignore"):  # torch's advice is for programmers
            return (load(content) if path.suffix.lower() == ".safetensors" else
                    _unpickled(content))
    except Exception as error:  # torch raises nearly everything on damaged files,
        # and its own words are half a page, with advice to trust the file.
        what = ("a TorchScript archive, whose code is not run" if "TorchScript" in str(error) else
                "damaged, or it holds more than tensors")
        raise UserError(f"{path}: no readable checkpoint ({type(error).__name__}): {what}; save a "
                        "model's state_dict() with torch.save, or as safetensors") from None


def _unpickled(content: bytes):
    import torch

    passed_over: dict[str, type] = {}
    while True:
        pairs = [(kind, name) for name, kind in passed_over.items()]
        with torch.serialization.safe_globals(pairs):
            try:
                return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            except pickle.UnpicklingError as error:
                named = re.search(r"Unsupported global: GLOBAL (\S+) was not", str(error))
                name = named[1] if named else ""
                name = name if "." in name else f"builtins.{name}"
                if not named or name in passed_over or len(passed_over) == _CLASSES:
                    raise
                passed_over[name] = type("PassedOver", (_PassedOver,), {"kind": name})


def _is_state_dict(found) -> bool:
    import torch

    return isinstance(found, dict) and bool(found) and all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in found.items())


def _state_dict(path: Path, content) -> tuple[dict, list[str]]:
    found, notes = content, []
    for _ in range(len(KEYS)):  # a mapping may hold itself
        keys = [key for key in KEYS if isinstance(found, dict) and isinstance(found.get(key), dict)]
        if not keys:
            break
        found = found[keys[0]]
        notes += [f"taken from {keys[0]}, not from {other}" for other in keys[1:]]
    if not _is_state_dict(found) and isinstance(found, dict):
        within = [key for key in found if _is_state_dict(found[key])]
        if len(within) == 1:  # whatever it is called
            notes.append(f"taken from {str(within[0])[:40]}")
            found = found[within[0]]
    if _is_state_dict(found):
        return found, notes
    if isinstance(content, _PassedOver):
        raise UserError(f"{path}: no readable checkpoint: it is an object of {content.kind}, whose "
                        "code is not run; save a model's state_dict() with torch.save, or as "
                        "safetensors")
    raise UserError(f"{path}: holds no state dict; it must be a mapping of names to tensors, or "
                    f"have one under {' or '.join(KEYS)}; found {_described(found)}")


def _described(found) -> str:
    if not isinstance(found, dict):
        return _kind(found)
    if not found:
        return "an empty mapping"
    return f"a mapping with {_few([f'{str(key)[:40]} ({_kind(found[key])})' for key in found])}"


def _kind(found) -> str:
    if isinstance(found, _PassedOver):
        return f"an object of {found.kind}"
    return f"a mapping of {len(found)}" if isinstance(found, dict) else type(found).__name__


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _IN_MESSAGE} more" * (len(names) > _IN_MESSAGE)
    return f"{', '.join(names[:_IN_MESSAGE])}{more}"
