"""Write a file whole or not at all, so that a reader never sees half of it."""

from __future__ import annotations

import glob
import os
import platform
from contextlib import suppress
from pathlib import Path


def write_whole(text: str, file: Path) -> None:
    """Write to a temporary file, whose name ends with this machine and process, then rename it.

    Leftovers of processes of this machine that were killed are removed.

    Args:
        text: What to write, in UTF-8.
        file: The file, which is replaced if it is there.
    """
    begin = f".{file.name}.{platform.node()}."
    for left in file.parent.glob(f"{glob.escape(begin)}*"):
        if _has_ended(left.suffix[1:]):
            with suppress(OSError):  # another user's
                left.unlink()
    half = file.with_name(f"{begin}{os.getpid()}")
    try:
        half.write_text(text, encoding="utf-8")
        half.replace(file)
    finally:
        half.unlink(missing_ok=True)


def _has_ended(process: str) -> bool:
    """True for the number of a process that is not there."""
    if not process.isdecimal():
        return False
    try:
        with suppress(PermissionError):  # another user's
            os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return True
    return False
