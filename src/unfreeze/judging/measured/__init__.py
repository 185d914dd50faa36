"""The tables of _made/measured/, of the form of unfreeze.judging.tables: what was measured by the
clock, and is another on another machine or beside other work. Git tracks none of it."""

from types import ModuleType

from unfreeze.judging import tables


def by_name() -> dict[str, ModuleType]:
    """{table: its module}."""
    return tables.of_package(__name__, __path__)
