"""What code a run depends on, as a digest."""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path


def fingerprint(roots: Iterable[Path], source: Path) -> str:
    """SHA-256 over the meaning of some source files and of all that they import of this package.

    Args:
        roots: where to start: the stage's script and the chosen plugins, which are imported by
            name at run time and so cannot be found by reading imports.
        source: src/, below which the package lies.

    Returns:
        A digest that neither a comment, a docstring nor the layout of a line changes. A module
        that is imported anywhere in a file counts, whether or not it is ever used.
    """
    total = hashlib.sha256()
    for path in reachable(roots, source):
        # By name and not by place: a clone elsewhere has the same fingerprint.
        name = path.relative_to(source) if path.is_relative_to(source) else path.name
        total.update(f"{name}\n{_meaning(_parse(path))}\n".encode())
    return total.hexdigest()


def reachable(roots: Iterable[Path], source: Path) -> list[Path]:
    """Source files that some files import of the packages below `source`, themselves included,
    sorted. Imports inside functions count too."""
    found: set[Path] = set()
    waiting = list(roots)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imports(path, source)
    return sorted(found)


def _imports(path: Path, source: Path) -> Iterator[Path]:
    names: set[str] = set()
    if path.is_relative_to(source):
        names.add(".".join(path.relative_to(source).with_suffix("").parts))
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from package import name` may name a module or something within the package.
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    for name in names:
        parts = name.split(".")
        for end in range(1, len(parts) + 1):  # importing a.b.c runs a and a.b first
            place = source.joinpath(*parts[:end])
            for candidate in (place / "__init__.py", place.with_suffix(".py")):
                if candidate.is_file():
                    yield candidate


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def _meaning(node: object) -> str:
    """A tree as text, without docstrings and empty fields. `ast.dump` will not do: it differs
    between versions of Python, which add fields that are empty in older code."""
    if isinstance(node, list):
        return f"[{','.join(map(_meaning, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, [])}
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        fields["body"] = [part for part in node.body if not _is_docstring(part)]
    fields.pop("kind", None)  # u"" or "": the same string
    inner = ",".join(f"{name}={_meaning(value)}" for name, value in fields.items())
    return f"{type(node).__name__}({inner})"


def _is_docstring(node: ast.stmt) -> bool:
    return (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str))
