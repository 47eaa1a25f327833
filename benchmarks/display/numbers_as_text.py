"""Format numbers and names for a reader, on terminal, page and figures alike."""

from __future__ import annotations

import math
from typing import Any

import pandas

from benchmarks.analysis.dial_axis import number


def in_gradients(value: float) -> str:
    """Return a cost in gradients, "–" if the target is never reached.

    >>> in_gradients(87.4), in_gradients(4.26), in_gradients(math.inf)
    ('87', '4.26', '–')
    """
    return "–" if math.isinf(value) else f"{value:.0f}" if value >= 10 else f"{value:.3g}"


def predicted(dial: Any) -> str:
    """Return a predicted breaking point: "never" if infinite, "–" without a prediction."""
    return "–" if pandas.isna(dial) else "never" if math.isinf(dial) else number(dial)


def percent(share: Any) -> str:
    """Return a share in percent.

    >>> percent(0.193)
    '19 %'
    """
    return "–" if pandas.isna(share) else f"{100 * share:.0f} %"


def decades(size: Any, hyperparameters: int) -> str:
    """Return the size of a set of settings, in decades to the power of the number of searched hyperparameters.

    >>> decades(0.375, 1), decades(1.0, 1), decades(1.125, 2)
    ('0.38 decades', '1 decade', '1.1 decades²')
    """
    if pandas.isna(size):
        return "–"
    power = "" if hyperparameters == 1 else "⁰¹²³⁴⁵⁶⁷⁸⁹"[hyperparameters]
    unit = f"decades{power}" if f"{size:.2g}{power}" != "1" else "decade"
    return f"{size:.2g} {unit}"


def counted(count: int, what: str) -> str:
    """Return a number of things.

    >>> counted(1, "run"), counted(3, "run")
    ('1 run', '3 runs')
    """
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def plain(value: Any) -> str:
    """Return a field's value as it is typed: 1e-05, 6, orthogonal."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def as_words(name: Any) -> str:
    """Return a name as words; an empty text for a missing one.

    >>> as_words("vanishing_gradient")
    'vanishing gradient'
    """
    return "" if name is None or name != name else str(name).replace("_", " ")
