"""Writing files whole or not at all, in formats that do not change from run to run."""

import csv
import glob
import hashlib
import io
import json
import os
import pickle
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from unfreeze.errors import UserError

# What torch.load and pickle are known to raise on a file that is not what one of them wrote.
UNREADABLE = (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, EOFError,
              pickle.UnpicklingError, zipfile.BadZipFile)
_RANDOM = 16  # hexadecimal digits in the names of what is unfinished


def unfinished(path: Path) -> Path:
    """Where a file or folder is made that then takes the place of `path`: beside it, under a name
    that no other process, here or on another machine that shares the folder, makes too."""
    return path.with_name(f".{path.name}.{os.urandom(_RANDOM // 2).hex()}.part")


def remove_unfinished(path: Path) -> None:
    """Remove what a process that was killed has left under such names: for those who know that no
    other process is making `path` now."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * _RANDOM}.part"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name in its folder, then rename it: whole, or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = unfinished(path)
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode())


def write_json(path: Path, content: object) -> None:
    """Indented JSON, keys in the order given."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_yaml(path: Path, content: object) -> None:
    write_text(path, yaml_text(content))


def yaml_text(content: object) -> str:
    """YAML that diffs well: a line for each value of a mapping, and for each row of a list."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000,
                     default_flow_style=False)


_VALUES_OF_A_LINE = 6


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True

    def represent_sequence(self, tag: str, sequence: Iterable, flow_style: bool | None = None):
        node = super().represent_sequence(tag, sequence, flow_style)
        node.flow_style = all(isinstance(item, yaml.ScalarNode) for item in node.value)
        for item in node.value:
            item.flow_style = not _is_long(item)
        return node


def _is_long(node: yaml.Node) -> bool:
    """Whether a row is a mapping of more values than fit a line, or one that holds rows."""
    if not isinstance(node, yaml.MappingNode):
        return False
    if len(node.value) > _VALUES_OF_A_LINE:
        for _, value in node.value:
            value.flow_style = True
        return True
    return any(isinstance(value, yaml.SequenceNode) and not value.flow_style
               for _, value in node.value)


# What a spreadsheet would take for a formula and reckon out, as it may a class called =1+1. (Two
# characters at least: a - alone is none.)
_FORMULA = re.compile(r"'*[=+\-@\t\r].", re.DOTALL)
_NUMBER = re.compile(r"[-+](\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+](inf|nan)")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows under a header. A text that spreadsheets would take for a formula gets a ' before it,
    which tells them otherwise, and which `read_csv` takes off."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    quoting = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(header)
    for row in rows:
        cells = [_as_text(cell) if isinstance(cell, str) else cell for cell in row]
        # Before 3.13 Python does not quote a \r, and then takes it for the end of a row.
        odd = any("\r" in cell for cell in cells if isinstance(cell, str))
        (quoting if odd else writer).writerow(cells)
    write_text(path, text.getvalue())


def _as_text(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def _as_written(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        UserError: the file is missing or is not YAML, with the line where reading stopped.
    """
    with _readable(path):
        content = path.read_text(encoding="utf-8")
    try:
        if "<<" in content:
            _check_merges(yaml.compose(content, Loader=yaml.SafeLoader), {})
        return yaml.safe_load(content)
    except RecursionError:
        raise UserError(f"{path}: is nested too deeply") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise UserError(f"{path}{place}: {problem}") from None
    except ValueError as error:  # a number of more digits than Python reads, a date that is none
        raise UserError(f"{path}: {error}") from None


_MOST_MERGED = 100_000  # entries of a mapping with those that << copies into it


def _check_merges(node: yaml.Node | None, known: dict[int, int]) -> int:
    """Entries of a node's mapping once all that << names is copied into it, and raise YAMLError
    where they are too many: a few lines that merge each other tenfold would fill all memory."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = entries = 0
    inner = (node.value if isinstance(node, yaml.SequenceNode) else
             [each for pair in node.value for each in pair]
             if isinstance(node, yaml.MappingNode) else [])
    for each in inner:
        _check_merges(each, known)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
            entries += sum(known.get(id(each), 0) for each in merged) if (
                key.tag == "tag:yaml.org,2002:merge") else 1
    if entries > _MOST_MERGED:
        raise yaml.MarkedYAMLError(problem="<< copies too much into it",
                                   problem_mark=node.start_mark)
    known[id(node)] = entries
    return entries


class Content(dict):
    """What a file of ours holds by name. Who asks it for a name that is not there tells the user
    which file lacks it, since no table here knows what everybody reads."""

    def __init__(self, content: Mapping[str, Any], path: Path) -> None:
        super().__init__(content)
        self._path = path

    def __missing__(self, name: str) -> None:
        raise UserError(f"{self._path}: lacks {name}; run `dvc repro`, which writes it anew")

    def __or__(self, other: Mapping[str, Any]) -> "Content":
        return Content({**self, **other}, self._path)


def read_json(path: Path) -> Content:
    """The mapping in a JSON file of ours.

    Raises:
        UserError: it is missing or damaged.
    """
    with _readable(path):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no mapping")
    return Content(content, path)


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file of ours, {column: text} each, as `Content`.

    Raises:
        UserError: it is missing or damaged.
    """
    with _readable(path):
        content = path.read_bytes().decode()  # with its \r as they are
        rows = list(csv.DictReader(io.StringIO(content, newline=""), strict=True))
        if any(None in row or None in row.values() for row in rows):
            raise ValueError("a row has more or fewer cells than there are columns")
    return [Content({name: _as_written(cell) for name, cell in row.items()}, path) for row in rows]


def read_arrays(path: Path, names: Iterable[str] = (), rest: bool = True) -> dict[str, Any]:
    """{name: array} of a .npz file of ours, as `Content`.

    Args:
        names: of arrays that must be there. rest: whether the others are read too.

    Raises:
        UserError: it is missing or damaged, or lacks one of them.
    """
    import numpy as np  # a tenth of a second, which those who read no arrays save

    with _readable(path), np.load(path, allow_pickle=False) as file:
        arrays = Content({name: file[name] for name in file if rest or name in names}, path)
    for name in names:
        arrays[name]
    return arrays


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What reading a file raises where it is not as it was written is one line."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; if it is an output, `dvc repro` makes it") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8 text") from None
    except (OSError, ValueError, EOFError, RecursionError, csv.Error, zipfile.BadZipFile,
            zlib.error) as error:
        raise UserError(f"{path}: is damaged or cannot be read ({error}); if it is an output, "
                        "delete it and run `dvc repro`, which makes it anew") from None


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A fresh folder to fill that takes the place of `path` only when the block ends well."""
    temporary = unfinished(path)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
