"""Dataclass fields that carry their own bounds: each is declared once, and all are checked together."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from ravine.refusal import Refused, nearest, unless_number

BOUNDS = "bounds"
CHOICES = "choices"


def bounded(
    default: Any, *, low: float | None = None, high: float | None = None, above: float | None = None,
    below: float | None = None, choices: tuple[str, ...] = (), **metadata: Any,
) -> Any:  # fmt: skip
    """Declare a field with a default, and the values that it accepts.

    ::

        steps: int = bounded(50, low=1)
        rate: float = bounded(0.5, above=0, below=1)
        kind: str = bounded("plain", choices=("plain", "orthogonal"))

    A field annotated `int` accepts whole numbers only, and a field annotated `bool` true or false only.

    Args:
        default: The value if none is given.
        low: The least value; `above` instead excludes it.
        high: The largest value; `below` instead excludes it.
        above: A number that every value is larger than.
        below: A number that every value is smaller than.
        choices: The words that are accepted, for a field that is not a number.
        **metadata: Further metadata of the field.

    Returns:
        A `dataclasses.field`.
    """
    if choices:
        return dataclasses.field(default=default, metadata={CHOICES: choices, **metadata})
    bounds = {
        "low": -math.inf if low is None and above is None else low if above is None else above,
        "high": math.inf if high is None and below is None else high if below is None else below,
        "open_low": above is not None,
        "open_high": below is not None,
    }
    return dataclasses.field(default=default, metadata={BOUNDS: bounds, **metadata})


def check_fields(owner: str, thing: Any) -> None:
    """Refuse a dataclass with values outside the declared bounds, all of them in one line.

    Args:
        owner: The name of the problem or the optimizer that has the fields.
        thing: An instance of a dataclass.

    Raises:
        Refused: Each wrong field with what was given and what is allowed.
    """
    wrong = list(_wrong(owner, thing))
    if wrong:
        raise Refused("; ".join(wrong))


def _wrong(owner: str, thing: Any) -> Iterator[str]:
    for each in dataclasses.fields(thing):
        value = getattr(thing, each.name)
        if BOUNDS in each.metadata:
            whole = each.type in (int, "int")
            message = unless_number(
                f"{owner}.{each.name}", value, whole=whole, **each.metadata[BOUNDS]
            )
            if message:
                yield message
        elif CHOICES in each.metadata and value not in each.metadata[CHOICES]:
            yield f"{owner}.{each.name} is {value!r}: {nearest(str(value), each.metadata[CHOICES])}"
        elif each.type in (bool, "bool") and not isinstance(value, bool):
            yield f"{owner}.{each.name} is {value!r}, but must be true or false"
