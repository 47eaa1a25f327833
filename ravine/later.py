"""Import a slow module when it is first used, so that `--help` answers at once.

With torch imported at the start, `--help` and `show sgd` take 2 to 2.5 s of CPU; with it imported later, 0.3 s.
importlib's LazyLoader does not do: on Python 3.11 it loads the module at `import`.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a module until an attribute is asked for."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        module = importlib.import_module(self.__name__)
        self.__dict__.update(module.__dict__)
        return getattr(module, name)

    def __reduce__(self) -> tuple[Any, ...]:
        # A class in the user's own file may refer to it.
        return importlib.import_module, (self.__name__,)


def later(name: str) -> None:
    """Let `import name` cost nothing until the module is used; does nothing where it is imported already."""
    sys.modules.setdefault(name, _Later(name))
