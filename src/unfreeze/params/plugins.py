"""What plugins declare, their knobs and what they need, read from their files without importing
them: plan must answer at once, and most plugins import torch."""

import ast
import functools
from pathlib import Path
from typing import Any

from unfreeze.params.knob import Knob

_PACKAGE = Path(__file__).resolve().parents[1]
_KNOB = "unfreeze.params.knob"


def names(folder: str) -> tuple[str, ...]:
    """Plugins of a folder of this package, such as tuning/methods, sorted."""
    return tuple(sorted(path.stem for path in (_PACKAGE / folder).glob("*.py")
                        if path.stem != "__init__"))


def read_knobs(folder: str, name: str) -> tuple[Knob | str, ...]:
    """The KNOBS of a plugin, each a declaration, or the name of one that another file declares;
    () where it has none.

    Raises:
        ValueError: its KNOBS need more than what unfreeze.params.knob offers.
    """
    return tuple(_read(folder, name, "KNOBS") or ())


def read_needs(folder: str, name: str) -> tuple[str, str] | None:
    """The NEEDS of a plugin: the attribute of models.facts.Model, or the function of
    models.with_torch.transformers, that must not be empty for it to have a place in a model, and
    what to say where it is; None where it needs nothing.

    Raises:
        ValueError: its NEEDS need more than what unfreeze.params.knob offers.
    """
    return _read(folder, name, "NEEDS")


@functools.cache
def _read(folder: str, name: str, constant: str) -> Any:
    """What a plugin assigns to a constant; None where it does not."""
    path = _PACKAGE / folder / f"{name}.py"
    imports, declaration = [], []
    for node in ast.parse(path.read_text(encoding="utf-8"), filename=str(path)).body:
        if isinstance(node, ast.ImportFrom) and node.module == _KNOB:
            imports.append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and any(
                isinstance(target, ast.Name) and target.id == constant
                for target in getattr(node, "targets", None) or [node.target]):
            declaration.append(node)
    if not declaration:
        return None
    content: dict = {}
    try:
        exec(compile(ast.Module([*imports, *declaration], []), str(path), "exec"), content)
    except NameError as error:
        raise ValueError(f"{path}: {constant} may use only what is imported from {_KNOB} by "
                         f"`from ... import` ({error})") from None
    return content[constant]
