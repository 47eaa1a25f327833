"""Look at torch's operations while they happen."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

Look = Callable[[Any, Sequence[Any], Any], None]


def watching(look: Look) -> AbstractContextManager[Any]:
    """Return a context in which every operation is looked at.

    Args:
        look: Called after each operation with it, its positional arguments, and its result.

    Returns:
        The context; it can be entered again.
    """
    return _mode()(look)


@functools.cache
def _mode() -> type:
    from torch.utils._python_dispatch import TorchDispatchMode  # torch itself is loaded by now

    class Watching(TorchDispatchMode):
        def __init__(self, look: Look) -> None:
            super().__init__()
            self._look = look

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            self._look(func, args, result)
            return result

    return Watching
