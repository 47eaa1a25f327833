"""The axis along a dial: rungs from harmless to extreme, and the places between them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ravine import Refused


@dataclass(frozen=True)
class Axis:
    """A dial's rungs from harmless to extreme, and their places in the scale of interpolation."""

    dials: np.ndarray
    x: np.ndarray
    scale: str
    falling: bool

    @classmethod
    def of(cls, dials: Any, scale: str, falling: bool) -> Axis:
        """Of rungs in any order. Raises Refused for a log scale that reaches zero."""
        dials = np.sort(np.asarray(dials, dtype=float))
        if scale == "log" and dials[0] <= 0:
            raise Refused(f"a dial with a log scale must be above 0, and not {dials[0]:g}")
        dials = dials[::-1] if falling else dials
        if scale == "list":
            return cls(dials, np.arange(len(dials), dtype=float), scale, falling)
        x = np.log10(dials) if scale == "log" else dials
        return cls(dials, -x if falling else x, scale, falling)

    def value(self, x: float, up: bool = False) -> float:
        """The dial at a place; on a list the rung before it, or (`up`) after it."""
        if self.scale == "list":
            return float(self.dials[math.ceil(x) if up else math.floor(x)])
        if x in self.x:  # not through a logarithm and back
            return float(self.dials[self.x == x][0])
        x = -x if self.falling else x
        return float(10**x if self.scale == "log" else x)

    def read(self, x: float, low: float, high: float) -> dict[str, Any]:
        """The columns that say where a crossing and its interval are."""
        easier, harder = (">", "<") if self.falling else ("<", ">")

        def bound(place: float, up: bool = False) -> tuple[float, str]:
            if math.isfinite(place):
                return self.value(place, up), ""
            end, sign = (-1, harder) if place > 0 else (0, easier)
            return float(self.dials[end]), sign

        point, censored = bound(x)
        ends = (bound(low), bound(high, up=True))
        below, above = ends[::-1] if self.falling else ends
        adds = low < self.x[-1] and high > self.x[0]  # something to "> last" or "< first"
        within = f" [{number(*below)}, {number(*above)}]" if adds else ""
        return {
            "breaking_point": point,
            "low": math.nan if below[1] else below[0],
            "high": math.nan if above[1] else above[0],
            "censored": censored,
            "text": number(point, censored) + within,
        }


def number(value: float, sign: str = "") -> str:
    """To three digits, but a whole number below ten thousand entirely: 3.16e3, 0.447, > 1024."""
    text = f"{value:.0f}" if abs(value) < 1e4 and value == round(value) else f"{value:.3g}"
    mantissa, _, exponent = text.partition("e")
    text = f"{mantissa}e{int(exponent)}" if exponent else text
    return f"{sign} {text}" if sign else text
