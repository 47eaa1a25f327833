"""Go on without a result that could not be made, and say so in one line."""

from __future__ import annotations

import functools
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class LeftOut(UserWarning):
    """Something is missing from the results, and why; the rest goes on."""


@contextmanager
def left_out(what: str, unless: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Go on after an exception in the block, with a warning that names what is left out.

    >>> with left_out("the theory of bowl · sgd"):
    ...     print(1 / 0)

    Args:
        what: What the block makes, and of which cell.
        unless: The exceptions that are raised nevertheless.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, unless):
            raise
        reason = " ".join(traceback.format_exception_only(error)[-1].split())
        _say(f"{what} is left out: {reason}")


@functools.cache  # once in a process, however many runs it concerns
def _say(text: str) -> None:
    # Line 0 has no source line that would be printed after the message.
    warnings.warn_explicit(text, LeftOut, __file__, lineno=0)
