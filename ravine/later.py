"""Import a slow module when it is first used, so that `--help` answers at once.

With torch imported at the start, `--help` and `show sgd` take 2 to 2.5 s of CPU; with it imported later, 0.3 s.
importlib's LazyLoader does not help: on Python 3.11 it loads the module at `import`.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """A module in name only, which loads when one of its attributes is used."""

    def __init__(self, name: str):
        super().__init__(name)
        self.__spec__ = find_spec(name)  # torch asks for that of pandas, to see whether it is there
        self.__file__ = self.__spec__ and self.__spec__.origin  # `inspect` asks each module for it

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        module = importlib.import_module(self.__name__)
        self.__dict__.update(module.__dict__)
        return getattr(module, name)

    def __reduce__(self) -> tuple[Any, ...]:
        # A class in the user's file may refer to the module.
        return importlib.import_module, (self.__name__,)


def later(name: str) -> None:
    """Make `import name` cost nothing until the module is used; do nothing if it is imported already.

    Args:
        name: The module's name, such as "torch".
    """
    sys.modules.setdefault(name, _Later(name))
