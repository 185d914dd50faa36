"""Python's compiled modules, kept out of the folders of their sources.

These folders are dependencies of the stages. A study is a DVC project of its own, and outside of
its project DVC ignores nothing: a __pycache__ in such a folder would be a change of the code.
"""

import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path

PACKAGE = Path(__file__).parent
_CACHE = PACKAGE.parent / "__pycache__"


class _Loader(SourceFileLoader):
    """Compiled, PACKAGE/a/b.py is src/__pycache__/unfreeze/a/b.cpython-311.pyc, say."""

    def get_data(self, path: str) -> bytes:
        return super().get_data(_apart(path))

    def set_data(self, path: str, data: bytes, *, _mode: int = 0o666) -> None:
        super().set_data(_apart(path), data, _mode=_mode)


def _apart(path: str) -> str:
    file = Path(path)
    if file.suffix != ".pyc" or not file.is_relative_to(PACKAGE):
        return path
    return str(_CACHE / file.parents[1].relative_to(PACKAGE.parent) / file.name)


def _finder(folder: str) -> FileFinder:
    if not Path(folder).is_relative_to(PACKAGE):
        raise ImportError("not of this package", path=folder)
    return FileFinder(folder, (_Loader, SOURCE_SUFFIXES))


def keep_apart() -> None:
    """From now on, for the modules of this package's folders."""
    sys.path_hooks.insert(0, _finder)
    sys.path_importer_cache.pop(str(PACKAGE), None)  # by which this module was found
