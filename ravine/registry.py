"""A registry: the one list of names of a kind of thing."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar, overload

from ravine.refusal import Refused, nearest

T = TypeVar("T")
C = TypeVar("C", bound=type)

# What YAML, Hydra or pandas would read as something other than a name.
MISREAD = {
    "null",
    "none",
    "nan",
    "na",
    "nil",
    "true",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "y",
    "n",
    "inf",
    "infinity",
}


class Registry(Mapping[str, T], Generic[T]):
    """Names and their prototypes: instances whose fields are defaults.

    The modules of `package` register themselves when they are imported, and they are imported the first
    time that anyone looks: a new file in the package is found without being listed anywhere, unless its name
    begins with an underscore.
    """

    def __init__(self, kind: str, package: str):
        self.kind = kind
        self.package = package
        self._entries: dict[str, T] = {}
        self._loaded = False

    @overload
    def register(self, name: str) -> Callable[[C], C]: ...
    @overload
    def register(self, name: str, entry: T) -> T: ...
    def register(self, name: str, entry: Any = None) -> Any:
        """Register a class (as a decorator, above @dataclass) or, with two arguments, an instance.

        Raises Refused for a name that is taken, or that a YAML or CSV reader takes for something else.
        """

        def add(given: Any) -> Any:
            self._check(name, given)
            _names[given if isinstance(given, type) else type(given)] = name
            try:
                self._entries[name] = given() if isinstance(given, type) else given
            except TypeError as error:
                raise Refused(
                    f"{self.kind} {name}: every field needs a default ({error})"
                ) from error
            return given

        return add if entry is None else add(entry)

    def _check(self, name: str, given: Any) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise Refused(
                f"{self.kind} {name!r}: a name is made of letters, digits and _, and begins with a letter"
            )
        if name.lower() in MISREAD:
            raise Refused(
                f"{self.kind} {name!r}: YAML or pandas would read this name as something else"
            )
        old = self._entries.get(name)
        if old is not None and origin(old) != origin(given):
            raise Refused(f"{self.kind} {name} is already registered by {'.'.join(origin(old))}")

    def find(self, name: str) -> T:
        """The prototype of this name. Raises Refused, with the nearest name, for one that is not registered."""
        if name not in self:
            raise Refused(f"unknown {self.kind} {name!r}: {nearest(name, self)}")
        return self[name]

    def _load(self) -> None:
        if not self._loaded:
            self._loaded = True
            root = importlib.import_module(self.package)
            for module in pkgutil.walk_packages(root.__path__, f"{self.package}."):
                if "._" not in module.name:
                    importlib.import_module(module.name)

    def __getitem__(self, name: str) -> T:
        self._load()
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(self._entries)

    def __len__(self) -> int:
        self._load()
        return len(self._entries)


_names: dict[type, str] = {}  # by class, what it was registered under last


def registered_name(kind: type) -> str:
    """Return the name under which a class was registered last, or that of the class itself."""
    return _names.get(kind, kind.__name__)


def origin(entry: Any) -> tuple[str, str]:
    """Module and name of a class, or of an instance's class: the same for a notebook cell that is run twice."""
    kind = entry if isinstance(entry, type) else type(entry)
    return kind.__module__, kind.__qualname__
