"""A registry: the one list of the names of a kind of thing."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, overload

from ravine.refusal import Refused, nearest

T = TypeVar("T")
C = TypeVar("C", bound=type)

# Words that YAML, Hydra or pandas reads as something other than a name.
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
    """Names and their prototypes: instances whose fields have their defaults.

    The modules of `package` register themselves when they are imported, and they are imported at the first look-up. So
    a new file in the package is found without being listed anywhere, unless its name begins with an underscore.

    Attributes:
        kind: What the names are of, in a word: "problem".
        package: The package whose modules register themselves.
        summaries: By name, a line on what an instance does, where the docstring of its class does not tell.
    """

    def __init__(self, kind: str, package: str):
        self.kind = kind
        self.package = package
        self.summaries: dict[str, str] = {}
        self._entries: dict[str, T] = {}
        self._loaded = False

    @overload
    def register(self, name: str) -> Callable[[C], C]: ...
    @overload
    def register(self, name: str, entry: T, *, summary: str = "") -> T: ...
    def register(self, name: str, entry: Any = None, *, summary: str = "") -> Any:
        """Register a class (as a decorator, above @dataclass) or, with two arguments, an instance.

        Args:
            name: The name: letters, digits and _.
            entry: The instance, without a decorator.
            summary: What the instance does, in a line, instead of the first line of its class's docstring.

        Returns:
            The entry, or the decorator.

        Raises:
            Refused: If the name is taken, or YAML or a CSV reader would read it as something else.
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
            if summary:
                self.summaries[name] = summary
            return given

        return add if entry is None else add(entry)

    def _check(self, name: str, given: Any) -> None:
        if not all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", each) for each in name.split(".")):
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
        """Return the prototype of this name.

        Args:
            name: A registered name.

        Returns:
            The prototype.

        Raises:
            Refused: If the name is not registered, with the nearest name.
        """
        if name not in self:
            raise Refused(f"unknown {self.kind} {name!r}: {nearest(name, self)}")
        return self[name]

    @contextmanager
    def forgetting(self) -> Iterator[None]:
        """Forget what is registered meanwhile."""
        self._load()
        kept = dict(self._entries)
        try:
            yield
        finally:
            self._entries = kept

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


_names: dict[type, str] = {}  # the last name by class


def registered_name(kind: type) -> str:
    """Return the name under which a class was registered last, or the class's own name."""
    return _names.get(kind, kind.__name__)


def origin(entry: Any) -> tuple[str, str]:
    """Return module and name of a class, or of an instance's class; running a notebook cell again changes neither."""
    kind = entry if isinstance(entry, type) else type(entry)
    return kind.__module__, kind.__qualname__
