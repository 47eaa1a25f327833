"""Refuse bad input in one line: what was given, what is allowed, and the nearest name."""

from __future__ import annotations

import difflib
import math
import unicodedata
from collections.abc import Iterable
from typing import Any


class Refused(ValueError):
    """Input that Ravine does not accept; the message is one line for the user who typed it."""


def printable(text: str) -> str:
    """Return text for a terminal, with each control character but the newline escaped.

    >>> printable("sgd\\x1b[31m")
    'sgd\\\\x1b[31m'

    Args:
        text: The text, which may hold names from anyone's files.

    Returns:
        The same text, without a character that would colour, move or hide others.
    """
    return "".join(
        ascii(each)[1:-1] if unicodedata.category(each)[0] == "C" and each != "\n" else each
        for each in text
    )


def nearest(name: str, allowed: Iterable[str], label: str = "allowed") -> str:
    """Return the end of a refusal: all allowed names, and first the closest one if it is close.

    >>> nearest("momentun", ["adam", "momentum"])
    'did you mean momentum? (allowed: adam, momentum)'
    >>> nearest("nosuch", ["adam", "random_search"])
    '(allowed: adam, random_search)'

    Args:
        name: The name that was given.
        allowed: The names that are allowed.
        label: What they are.

    Returns:
        The words.
    """
    allowed = sorted(allowed)
    by_lower = {each.lower(): each for each in allowed}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    hint = f"did you mean {by_lower[close[0]]}? " if close else ""
    return f"{hint}({label}: {', '.join(allowed) or 'none'})"


def require(
    owner: str, name: str, value: Any, *, low: float = -math.inf, high: float = math.inf, open_low: bool = False,
    open_high: bool = False, whole: bool = False,
) -> None:  # fmt: skip
    """Refuse a value unless it is a number from low to high.

    >>> require("quadratic", "condition", 0.5, low=1)
    Traceback (most recent call last):
    ravine.refusal.Refused: quadratic.condition is 0.5, but must be a number, at least 1

    Args:
        owner: The name of what the value belongs to, or "".
        name: The value's name.
        value: The value.
        low: The least number that is allowed.
        high: The largest number that is allowed.
        open_low: True if low itself is not allowed.
        open_high: True if high itself is not allowed.
        whole: True if only whole numbers are allowed.

    Raises:
        Refused: With what was given and what is allowed.
    """
    what = f"{owner}.{name}" if owner else name
    message = unless_number(
        what, value, low=low, high=high, open_low=open_low, open_high=open_high, whole=whole
    )
    if message:
        raise Refused(message)


def as_whole(value: Any) -> Any:
    """Return a whole number that was written as 1e5 as an int, and anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def unless_number(
    what: str, value: Any, *, low: float, high: float, open_low: bool, open_high: bool, whole: bool
) -> str:
    """Return why a value is refused, as `require` says it; "" for a number that is allowed."""
    number = isinstance(value, int) if whole else isinstance(value, (int, float))
    if number and not isinstance(value, bool) and math.isfinite(value):
        above = value > low if open_low else value >= low
        below = value < high if open_high else value <= high
        if above and below:
            return ""
    wanted = ["a whole number" if whole else "a number"]
    if low > -math.inf:
        wanted.append(f"{'above' if open_low else 'at least'} {low:g}")
    if high < math.inf:
        wanted.append(f"{'below' if open_high else 'at most'} {high:g}")
    return f"{what} is {value!r}, but must be {', '.join(wanted)}"
