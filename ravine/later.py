"""Import a slow module when it is first used, so that `--help` answers at once (importing torch takes 2 s)."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a module until an attribute is asked for; importlib's LazyLoader loads at `import` on 3.11."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        module = importlib.import_module(self.__name__)
        self.__dict__.update(module.__dict__)
        return getattr(module, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, (
            self.__name__,
        )  # a class of the user's own may refer to it


def later(name: str) -> None:
    """Let `import name` cost nothing until the module is used; does nothing where it is imported already."""
    sys.modules.setdefault(name, _Later(name))
