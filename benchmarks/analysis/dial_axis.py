"""The axis along a dial: rungs from harmless to extreme, positions between them, and breaking points."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas

from ravine import Refused


@dataclass(frozen=True)
class Axis:
    """A dial's rungs from harmless to extreme, and their positions x in the scale of interpolation."""

    dials: np.ndarray
    x: np.ndarray
    scale: str
    falling: bool

    @classmethod
    def of(cls, dials: Any, scale: str, falling: bool) -> Axis:
        """Return the axis of rungs in any order; a single one, of any value, needs no scale.

        Raises Refused for several on a log scale that are not all above 0.
        """
        dials = np.sort(np.asarray(dials, dtype=float))
        if len(dials) == 1:
            return cls(dials, np.zeros(1), scale, falling)
        if scale == "log" and dials[0] <= 0:
            raise Refused(f"a dial with a log scale must be above 0, and not {dials[0]:g}")
        dials = dials[::-1] if falling else dials
        if scale == "list":
            return cls(dials, np.arange(len(dials), dtype=float), scale, falling)
        x = np.log10(dials) if scale == "log" else dials
        return cls(dials, -x if falling else x, scale, falling)

    def place(self, dial: float) -> float:
        """Return the position of a dial; on a list, between those of the rungs around it."""
        if self.scale == "list" or len(self.dials) == 1:
            order = np.argsort(self.dials)
            return float(np.interp(dial, self.dials[order], self.x[order]))
        x = math.log10(dial) if self.scale == "log" else dial
        return -x if self.falling else x

    def value(self, x: float) -> float:
        """Return the dial at a position; on a list, that of the rung before it."""
        if self.scale == "list":
            return float(self.dials[math.floor(x)])
        if x in self.x:  # exact, where a logarithm and back would round
            return float(self.dials[self.x == x][0])
        x = -x if self.falling else x
        return float(10**x if self.scale == "log" else x)

    def share(self, low: float, high: float) -> float:
        """Return the share of the axis, in its scale, that lies between two dials; NaN stands for an open end."""
        dials, x = (self.dials[::-1], self.x[::-1]) if self.falling else (self.dials, self.x)
        ends = np.array([
            dials[0] if math.isnan(low) else low, dials[-1] if math.isnan(high) else high
        ]).clip(dials[0], dials[-1])  # fmt: skip
        if self.scale == "log":
            dials, ends = np.log10(dials), np.log10(ends)
        first, last = np.interp(ends, dials, x)
        return float((last - first) / (x[-1] - x[0]))

    def breaking_point(self, x: float, low: float, high: float) -> BreakingPoint:
        """Return the crossing at a position, with its interval; positions beyond the rungs are infinite."""
        beyond = (
            {-math.inf: ">", math.inf: "<"} if self.falling else {-math.inf: "<", math.inf: ">"}
        )
        rungs = float(self.dials[0]), float(self.dials[-1])

        def bound(place: float) -> float:
            return self.value(place) if math.isfinite(place) else math.nan

        if self.scale == "list" and math.isfinite(high):
            high = math.ceil(high)
        easier, harder = bound(low), bound(high)
        least, most = (harder, easier) if self.falling else (easier, harder)
        value = self.value(x) if math.isfinite(x) else rungs[x > 0]
        return BreakingPoint(value, least, most, beyond.get(x, ""), *rungs)


@dataclass(frozen=True)
class BreakingPoint:
    """The dial at which an optimizer stops solving, and its 95 % interval.

    value: the dial; if the breaking point lies outside the tested rungs, the nearest of them.
    low, high: the interval, NaN if open.
    censored: ">" or "<" if the breaking point lies above or below `value`, outside the tested rungs; else "".
    first_rung, last_rung: the tested rungs, from harmless to extreme.
    dose_response: True if a harder dial means fewer solved; None if that cannot be decided.
    unjudged: the status of all runs if they cannot be judged, such as "no_step"; else empty. It stands for the dial.
    """

    value: float
    low: float
    high: float
    censored: str
    first_rung: float
    last_rung: float
    dose_response: bool | None = None
    unjudged: str = ""

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> BreakingPoint:
        """Return the breaking point in a row of the table."""
        censored, responds, unjudged = row["censored"], row["dose_response"], row.get("unjudged")
        return cls(
            row["breaking_point"], row["low"], row["high"],
            "" if pandas.isna(censored) else censored, row["first_rung"], row["last_rung"],
            None if pandas.isna(responds) else bool(responds),
            "" if pandas.isna(unjudged) else str(unjudged),
        )  # fmt: skip

    def columns(self) -> dict[str, Any]:
        """Return its columns in the table of breaking points, `text` included."""
        columns = dataclasses.asdict(self)
        return {"breaking_point": columns.pop("value"), **columns, "text": str(self)}

    @property
    def point(self) -> str:
        """Return it as text without the interval: "> 1024"."""
        return self.unjudged.replace("_", " ") or number(self.value, self.censored)

    @property
    def interval(self) -> str:
        """Return the interval as text, "[512, > 1024]"; empty if it adds nothing to "> 1024"."""
        least, most = sorted((self.first_rung, self.last_rung))
        if self.unjudged or self.low >= most or self.high <= least:
            return ""
        low = number(least, "<") if math.isnan(self.low) else number(self.low)
        high = number(most, ">") if math.isnan(self.high) else number(self.high)
        return f"[{low}, {high}]"

    def __str__(self) -> str:
        text = f"{self.point} {self.interval}".strip()
        return f"{text}, no dose-response" if self.dose_response is False else text


def number(value: float, sign: str = "") -> str:
    """Return a number to three digits, a whole number below ten thousand in full: 3.16e4, 0.447, > 1024."""
    text = f"{value:.0f}" if abs(value) < 1e4 and value == round(value) else f"{value:.3g}"
    mantissa, _, exponent = text.partition("e")
    text = f"{mantissa}e{int(exponent)}" if exponent else text
    return f"{sign} {text}" if sign else text
