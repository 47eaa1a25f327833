"""The key of a cell: a hash of what decides its numbers."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from benchmarks.engine import cell as engine_room
from benchmarks.engine.contender import Contender
from benchmarks.engine.protocol import RELEASE, Settled
from optimizers import Optimizer
from problems import Problem

OURS = {"benchmarks", "optimizers", "problems", "ravine"}
INSTALLED = tuple(map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")))
SCHEMA = 1


def cell_key(problem: str, at: Problem, contender: Contender, settled: Settled) -> str:
    """A hash of the resolved configuration, of all source that the cell runs, and of torch's version."""
    state = {
        "schema": SCHEMA,
        "release": RELEASE,
        "problem": [problem, described(at)],
        "optimizer": [contender.name, described(contender.optimizer)],
        "space": {name: dataclasses.asdict(each) for name, each in contender.space.items()},
        "protocol": dataclasses.asdict(settled),
        "sources": _sources(*_nested(at), *_nested(contender.optimizer), engine_room),
        "torch": torch.__version__,
        "packages": _packages(contender.optimizer),
    }
    return hashlib.sha256(json.dumps(state, sort_keys=True, default=repr).encode()).hexdigest()[:24]


def described(thing: Any) -> Any:
    """A dataclass as plain data, the classes of nested ones included."""
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        fields = {
            each.name: described(getattr(thing, each.name)) for each in dataclasses.fields(thing)
        }
        return {"class": f"{type(thing).__module__}.{type(thing).__qualname__}", **fields}
    return thing


def _nested(thing: Problem | Optimizer) -> Iterator[Any]:
    """A problem or an optimizer and what it wraps: others, or the class that was adopted."""
    yield thing
    for each in dataclasses.fields(thing):  # type: ignore[arg-type]
        value = getattr(thing, each.name)
        if isinstance(value, type):
            yield value
        elif dataclasses.is_dataclass(value):
            yield from _nested(value)  # type: ignore[arg-type]


def _packages(optimizer: Optimizer) -> dict[str, str]:
    """The versions of the packages whose classes were adopted, torch aside."""
    bases = {base for each in _nested(optimizer) if isinstance(each, type) for base in each.__mro__}
    modules = {base.__module__.split(".")[0] for base in bases}
    others = modules - OURS - {"torch", "builtins"}
    owners = metadata.packages_distributions() if others else {}
    return {name: metadata.version(name) for each in others for name in owners.get(each, ())}


def _sources(*roots: Any) -> str:
    """A digest of the modules of these objects and of all modules that they use, third parties aside.

    An edit in a helper file of one's own must not leave stale numbers: a module counts where it is ours or
    lies outside of the places in which packages are installed.
    """
    pending = [module_of(root) for root in roots]
    seen: dict[str, str] = {}
    while pending:
        module = pending.pop()
        if module is None or module.__name__ in seen:
            continue
        file = getattr(module, "__file__", None)
        if file is None:  # a notebook: its classes stand for it
            sources = [inspect.getsource(type(root)) for root in roots if module_of(root) is module]
            seen[module.__name__] = "".join(sources)
            continue
        seen[module.__name__] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        used = (module_of(value) for value in vars(module).values())
        pending.extend(each for each in used if each is not None and is_followed(each))
    return hashlib.sha256(json.dumps(sorted(seen.items())).encode()).hexdigest()


def module_of(thing: Any) -> ModuleType | None:
    """The module of a class, a function or an object; a module is its own."""
    if isinstance(thing, ModuleType):
        return thing
    name = getattr(thing, "__module__", None)
    return sys.modules.get(name) if isinstance(name, str) else None


def is_followed(module: ModuleType) -> bool:
    """Whether a module is ours or the user's, and not an installed package's."""
    if module.__name__.split(".")[0] in OURS:
        return True
    file = getattr(module, "__file__", None)
    return file is not None and not file.startswith(INSTALLED)
