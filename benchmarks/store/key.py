"""The key of a cell: a hash of all that decides its numbers."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from types import FunctionType
from typing import Any

import torch

from benchmarks.engine.cell import run_cell
from benchmarks.engine.contender import Contender
from benchmarks.engine.protocol import RELEASE, Settled
from benchmarks.store.cell_info import SCHEMA
from benchmarks.store.code import Code, code_of
from benchmarks.store.source import CARD, OURS
from problems import Card, Problem


def cell_key(problem: str, at: Problem, contender: Contender, settled: Settled) -> str:
    """Return a hash of the resolved configuration, of the code that decides numbers, and of the packages' versions."""
    optimizer = contender.optimizer
    nested = [*_nested(at), *_nested(optimizer), *_nested(contender.removal)]
    kinds = [each if hasattr(each, "__qualname__") else type(each) for each in nested]
    code = code_of(run_cell, Contender, Settled, *kinds)
    state = {
        "schema": SCHEMA,
        "release": RELEASE,
        "problem": [problem, described(at)],
        "cards": [stated(each.card, code) for each in nested if isinstance(each, Problem)],
        "optimizer": [contender.name, described(optimizer), optimizer.hyperparameters],
        "removal": described(contender.removal),
        "brief": contender.brief,
        "space": {name: dataclasses.asdict(each) for name, each in contender.space.items()},
        "protocol": dataclasses.asdict(settled),
        "code": code.digest,
        "torch": torch.__version__,
        "packages": _packages(kinds),
    }
    return hashlib.sha256(json.dumps(state, sort_keys=True, default=repr).encode()).hexdigest()[:24]


def stated(card: Card, code: Code) -> dict[str, Any]:
    """Return the fields of a problem's card that the code reads; the protocol has the budget and the cell's sizes."""
    fields = (each.name for each in dataclasses.fields(card))
    return {
        name: described(getattr(card, name))
        for name in fields
        if name in code.of_card or CARD in code.of_card
    }


def described(thing: Any) -> Any:
    """Return a dataclass as plain data, the classes of nested ones included."""
    if isinstance(thing, (type, FunctionType)):
        return f"{thing.__module__}.{thing.__qualname__}"
    if dataclasses.is_dataclass(thing):
        fields = {
            each.name: described(getattr(thing, each.name)) for each in dataclasses.fields(thing)
        }
        return {"class": f"{type(thing).__module__}.{type(thing).__qualname__}", **fields}
    return thing


def _nested(thing: Any) -> Iterator[Any]:
    """Yield a problem or an optimizer, and all classes, functions and objects in its fields."""
    if isinstance(thing, Mapping):
        thing = [*thing.values()]
    if isinstance(thing, (list, tuple, set, frozenset)):
        for each in thing:
            yield from _nested(each)
    elif isinstance(thing, (type, FunctionType)) or hasattr(thing, "__dict__"):
        yield thing
        if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
            for each in dataclasses.fields(thing):
                yield from _nested(getattr(thing, each.name))


def _packages(kinds: Iterable[Any]) -> dict[str, str]:
    """Return the versions of the installed packages that classes and functions come from, except torch."""
    bases = {base for each in kinds for base in getattr(each, "__mro__", (each,))}
    modules = {base.__module__.partition(".")[0] for base in bases}
    others = modules.difference(OURS, sys.stdlib_module_names, ("torch",))
    return {name: metadata.version(name) for each in others for name in _distributions(each)}


@functools.cache  # once in a process, for it takes a fifth of a second
def _distributions(module: str) -> Sequence[str]:
    """Return the distributions that install an imported module; none for a user's file."""
    return metadata.packages_distributions().get(module, ())
