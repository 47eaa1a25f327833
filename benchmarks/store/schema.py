"""Check what is read from JSON against types, as those of a dataclass."""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

KINDS = {
    dict: "a table", list: "a list", str: "a text", int: "a whole number", float: "a number", bool: "true or false",
}  # fmt: skip


@functools.cache
def fields_of(owner: type) -> Mapping[str, Any]:
    """Return the types of the fields of a dataclass, by name."""
    return get_type_hints(owner)


def check(name: str, value: Any, kind: Any) -> None:
    """Raise TypeError, in a line, for a value that is not of a type: a plain one, a Mapping, a Literal, or a union."""
    if not _is_of(value, kind):
        raise TypeError(f"{name} is {shortened(value)}, but must be {_words(kind)}")


def shortened(value: Any) -> str:
    """Return a value as a line shows it."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _is_of(value: Any, kind: Any) -> bool:
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_is_of(value, each) for each in parts)
    if origin is Literal:
        return value in parts
    if origin is Mapping:
        return isinstance(value, dict) and all(_is_of(each, parts[1]) for each in value.values())
    if isinstance(value, bool):  # which is an int as well
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _words(kind: Any) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_words, parts))
    if origin is Literal:
        return f"one of {', '.join(parts)}"
    if origin is Mapping:
        return "a table" if parts[1] is Any else f"a table, each entry {_words(parts[1])}"
    return KINDS.get(kind, "null")
