"""One line on stderr for a user's class that is written in a form that the next release no longer reads."""

from __future__ import annotations

import multiprocessing
import sys
import warnings


def warn_outdated(kind: type, text: str) -> None:
    """Warn that a class is written in an old form, in one line, and once however many workers import it.

    Args:
        kind: The class.
        text: How to write it now.
    """
    if multiprocessing.parent_process() is not None:
        return
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None) or kind.__module__
    # Without a line number no line of source follows the message.
    warnings.warn_explicit(f"{kind.__name__}: {text}", FutureWarning, file, lineno=0)
