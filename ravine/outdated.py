"""Warn of a class that is written in a form that the next release does not read."""

from __future__ import annotations

import multiprocessing
import sys
import warnings


def warn_outdated(kind: type, text: str) -> None:
    """Warn in one line that the next release does not read the form in which a class is written.

    Only the parent process warns: its workers import the class again.

    Args:
        kind: The class.
        text: How to write it now: "write …".
    """
    if multiprocessing.parent_process() is not None:
        return
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None) or kind.__module__
    message = f"{kind.__name__} is written in a form that the next release does not read: {text}"
    # Line 0 has no source line that would be printed after the message.
    warnings.warn_explicit(message, FutureWarning, file, lineno=0)
