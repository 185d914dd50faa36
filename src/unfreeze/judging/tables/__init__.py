"""The tables of plots/tables/: one file each, found by its name. They are tracked, and hold nothing
that was measured: those of unfreeze.judging.measured do.

A file offers HEADER, the names of its columns, and rows(outcome), the rows below them in their
order. Runs are in the order of params.yaml where nothing else is said; None is an empty cell.
"""

import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType


def by_name() -> dict[str, ModuleType]:
    """{table: its module}."""
    return of_package(__name__, __path__)


def of_package(package: str, path: Iterable[str]) -> dict[str, ModuleType]:
    """{table: its module} of a package of tables.

    Args:
        path: its __path__.
    """
    return {name: importlib.import_module(f"{package}.{name}")
            for _, name, _ in pkgutil.iter_modules(path)}
