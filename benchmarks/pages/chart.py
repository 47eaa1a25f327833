"""A chart as numbers: the one description from which page and paper figures are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Scale = Literal["linear", "log", "symlog"]
Kind = Literal["line", "steps", "dots", "squares", "rings", "bars"]
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LABELS = 5  # at most, along an axis
WIDEST = 300  # decades: larger and smaller values are drawn at the edge


@dataclass(frozen=True)
class Axis:
    """An axis from `low`, at the left or bottom, to `high`; low > high if a smaller dial is harder.

    threshold: of a symlog scale, sign(v) · log10(1 + |v| / threshold).
    given: ticks with their labels; computed if empty.
    """

    label: str
    scale: Scale
    low: float
    high: float
    threshold: float = 1.0
    given: tuple[tuple[float, str], ...] = ()

    def bent(self, values: float | np.ndarray) -> np.ndarray:
        """Return values in the scale in which distances are drawn."""
        values = np.asarray(values, dtype=float)
        if self.scale == "log":
            return np.log10(np.clip(values, 10.0**-WIDEST, 10.0**WIDEST))
        if self.scale == "symlog":
            return np.sign(values) * np.log10(1 + np.abs(values) / self.threshold)
        return values

    def place(self, values: float | np.ndarray) -> np.ndarray:
        """Return positions from 0, at `low`, to 1, at `high`; infinite values lie outside."""
        low, high = self.bent(np.array([self.low, self.high]))
        with np.errstate(invalid="ignore"):
            return (self.bent(values) - low) / ((high - low) or 1.0)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """The ticks: values and their labels.

        >>> [text for _, text in Axis("cost", "symlog", 0, 300, threshold=3).ticks]
        ['0', '10', '100']
        """
        if self.given:
            return list(self.given)
        low, high = sorted((self.low, self.high))
        if self.scale == "log" and math.log10(high / low) >= 1:
            first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
            every = max(1, math.ceil((last - first) / LABELS))
            return [(10.0**k, power(k)) for k in range(first, last + 1) if k % every == 0]
        if self.scale == "symlog":
            reach = max(abs(low), abs(high))
            room, labels = (0.7, LABELS // 2) if low < 0 else (0.3, LABELS)  # beside 0, and a side
            first = math.ceil(math.log10(self.threshold) + room)
            last = math.floor(math.log10(reach)) if reach else first
            every = max(1, math.ceil((last - first) / labels))
            sizes = [10.0**k for k in range(last, first - 1, -every)]
            both = [0.0, *sizes, *(-each for each in sizes)]
            return [(each, signed(each)) for each in sorted(both) if low <= each <= high]
        from matplotlib.ticker import MaxNLocator

        found = MaxNLocator(LABELS, steps=(1, 2, 5, 10)).tick_values(low, high)
        return [(float(each), f"{each:.6g}") for each in found if low <= each <= high]


@dataclass(frozen=True)
class Series:
    """Points, and how they are drawn.

    style: the optimizer's place on the page; None if the series belongs to none.
    band: lower and upper edge along x. dashed: True for theory, False for measurements.
    role: what a second series of an optimizer shows; its name is then "optimizer, role".
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    style: int | None = None
    kind: Kind = "line"
    band: tuple[np.ndarray, np.ndarray] | None = None
    dashed: bool = False
    role: str = ""


@dataclass(frozen=True)
class Level:
    """The region where a landscape is higher than `height`: closed curves, holes included, in the axes' units."""

    height: float
    curves: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Chart:
    """A chart: axes, series, and the texts around them.

    name: of its file. title: above it on a page. subject: above it in a paper, where nothing else names the problem.
    note: its content in words, for screen readers.
    rules: horizontal dotted lines and their names. own: True if the series are not the optimizers of the page.
    problem: the problem of which this is the panel in a figure of several; empty for a chart of another kind.
    """

    name: str
    title: str
    note: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    rules: tuple[tuple[float, str], ...] = ()
    levels: tuple[Level, ...] = ()
    own: bool = False
    problem: str = ""
    marks: tuple[tuple[float, str], ...] = ()
    subject: str = ""

    @property
    def legend(self) -> dict[str, Series]:
        """What a legend names, on a page and in a paper: optimizers, or series of their own, and roles.

        A name that has a solid series is shown by it.
        """
        first: dict[str, Series] = {}
        for each in self.series:
            name = each.name.removesuffix(f", {each.role}") if each.role else each.name
            if name and (name not in first or first[name].dashed):
                first[name] = each
        for each in self.series:
            if each.role:
                first.setdefault(each.role, replace(each, style=None))
        return first


def spanning(
    label: str, scale: Scale, values: Sequence[np.ndarray] | np.ndarray, threshold: float = 1.0
) -> Axis:
    """Return an axis from the smallest to the largest of these values, with a small margin."""
    every = np.concatenate([np.ravel(each) for each in values]) if len(values) else np.zeros(0)
    every = every[np.isfinite(every) & ((every > 0) | (scale != "log"))]
    low, high = (every.min(), every.max()) if len(every) else (0.1, 1.0)
    if scale == "log":
        room = 10 ** (0.05 * max(math.log10(high / low), 0.5))
        return Axis(label, scale, low / room, high * room)
    room = 0.05 * ((high - low) or abs(high) or 1.0)
    return Axis(label, scale, low - room, high + room, threshold)


def power(exponent: int) -> str:
    """Return a power of ten as text: 1, 10, 100, 10³, 0.1, 10⁻²."""
    small = {0: "1", 1: "10", 2: "100", -1: "0.1"}
    return small.get(exponent, "10" + str(exponent).translate(SUPERSCRIPTS))


def signed(value: float) -> str:
    """Return a power of ten of either sign, or 0, as text."""
    if value == 0:
        return "0"
    return ("−" if value < 0 else "") + power(round(math.log10(abs(value))))
