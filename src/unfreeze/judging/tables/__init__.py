"""The tables of plots/tables/: one file each, found by its name.

A file offers HEADER, the names of its columns, and rows(outcome), the rows below them in their
order. Runs are in the order of params.yaml where nothing else is said; None is an empty cell.
"""

import importlib
import pkgutil
from types import ModuleType


def by_name() -> dict[str, ModuleType]:
    """{table: its module}."""
    return {name: importlib.import_module(f"{__name__}.{name}")
            for _, name, _ in pkgutil.iter_modules(__path__)}
