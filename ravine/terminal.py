"""Text for a terminal: as wide as it is; in a file or a pipe the width is fixed. And a word about what takes long."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

NARROWEST, WIDEST = 40, 140  # columns: on a wider terminal lines would be hard to follow
PROSE, TABLES = 80, 110  # columns of sentences and of tables where stdout is no terminal
SILENT = 2.0  # seconds that a step may take without a word


def is_live(stream: TextIO) -> bool:
    """True for a terminal on which a line can be drawn anew, which is not one of TERM=dumb."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


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


@contextmanager
def phase(what: str) -> Iterator[None]:
    """Say on stderr what the block does if it takes longer than `SILENT`.

    Args:
        what: What it does, as in "writing the report".
    """
    timer = threading.Timer(
        SILENT, print, [f"ravine: {what} …"], {"file": sys.stderr, "flush": True}
    )
    timer.daemon = True  # Ctrl-C need not wait for it
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
