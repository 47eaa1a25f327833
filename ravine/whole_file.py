"""Write a file whole or not at all, so that who reads it never meets half of it."""

from __future__ import annotations

import glob
import os
from contextlib import suppress
from pathlib import Path


def write_whole(text: str, file: Path) -> None:
    """Write a file under another name, which has the number of this process, and rename it.

    What processes that were killed have left of the same file is removed.

    Args:
        text: What to write, in UTF-8.
        file: The file, which is replaced if it is there.
    """
    for left in file.parent.glob(f".{glob.escape(file.name)}.*"):
        if _has_ended(left.suffix[1:]):
            with suppress(OSError):  # another user's
                left.unlink()
    half = file.with_name(f".{file.name}.{os.getpid()}")
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
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # another user's
        return False
    return False
