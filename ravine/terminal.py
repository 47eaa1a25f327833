"""Text for a terminal: as wide as it is. Elsewhere, as in a file or a pipe, the width is fixed."""

from __future__ import annotations

import shutil
import sys
import textwrap

NARROWEST, WIDEST = 40, 140  # columns: on a wider terminal lines would be hard to follow


def columns(elsewhere: int) -> int:
    """Return how many columns a line of stdout may take.

    Args:
        elsewhere: The answer if stdout is no terminal.
    """
    if not sys.stdout.isatty():
        return elsewhere
    return min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)


def filled(text: str) -> str:
    """Return a paragraph, wrapped between words if stdout is a terminal, else as it is."""
    if not sys.stdout.isatty():
        return text
    return textwrap.fill(text, columns(WIDEST), break_on_hyphens=False, break_long_words=False)
