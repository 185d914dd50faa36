"""Frozen dataclasses to plain dicts and lists, as YAML has them, and back."""

import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def to_plain(value: Any) -> Any:
    """A value as dicts, lists and scalars; a dataclass is a dict of its fields, in their order."""
    if is_dataclass(value):
        return {each.name: to_plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {key: to_plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(inner) for inner in value]
    return value


def from_plain(kind: Any, value: Any) -> Any:
    """The value of a type from what `to_plain` gives of it.

    Args:
        kind: a dataclass, or what its fields are annotated with: Mapping[...], tuple[..., ...],
            unions, None, scalars, Any (left as it is).

    Raises:
        TypeError: it is no such value; nothing is filled in, nothing is left over.
    """
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _from_dict(kind, value)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _from_union(inner, value)
    if origin is tuple and isinstance(value, list):
        return tuple(from_plain(inner[0], each) for each in value)
    if origin is Mapping and isinstance(value, dict):
        return {from_plain(inner[0], key): from_plain(inner[1], each)
                for key, each in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is int and isinstance(value, bool):
        raise TypeError(f"{value!r} is no whole number")
    if origin is None and isinstance(value, kind):
        return value
    raise TypeError(f"{value!r} is no {kind}")


def _from_dict(kind: type, value: Any) -> Any:
    if not isinstance(value, dict) or value.keys() != {each.name for each in fields(kind)}:
        raise TypeError(f"not the fields of a {kind.__name__}")
    return kind(**{each.name: from_plain(each.type, value[each.name]) for each in fields(kind)})


def _from_union(kinds: tuple, value: Any) -> Any:
    for kind in kinds:
        try:
            return from_plain(kind, value)
        except TypeError:
            pass
    raise TypeError(f"{value!r} is none of {kinds}")
