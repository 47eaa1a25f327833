"""A report's page as values: sections, tables, charts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.pages.chart import Chart, Series
from benchmarks.pages.table import Table


@dataclass(frozen=True)
class Strip:
    """Charts side by side under one heading."""

    title: str
    note: str
    charts: Sequence[Chart]

    @property
    def legend(self) -> dict[str, Series]:
        """What the charts draw."""
        return legend(self.charts)

    @property
    def own(self) -> bool:
        """True if the series are not the optimizers of the page."""
        return any(chart.own for chart in self.charts)


def legend(charts: Iterable[Chart]) -> dict[str, Series]:
    """Return one legend for several charts: optimizers in the order of the page, then what belongs to none."""
    found = {name: each for chart in charts for name, each in chart.legend.items()}
    return dict(sorted(found.items(), key=lambda item: (item[1].style is None, item[1].style or 0)))


@dataclass(frozen=True)
class Landscape:
    """The part of the page about one problem. missing: the reason why it has no picture."""

    anchor: str
    label: str
    line: str
    facts: Mapping[str, str]
    breaking: Table
    strips: Sequence[Strip]
    tables: Sequence[Table]
    runs: Table
    frontier: Chart | None = None
    missing: str = ""


@dataclass(frozen=True)
class Answer:
    """A cell of the matrix.

    notes: What stands below, by kind.
    filled: The place on the ladder or, of a single rung, the share of instances solved, from 0 to 1; None without
        numbers.
    """

    style: int
    text: str
    interval: str
    notes: Mapping[str, str]
    filled: float | None
    order: float
    spoken: str


@dataclass(frozen=True)
class MatrixRow:
    """A problem in the matrix: the anchor of its part of the page, its dial, and each optimizer's answer."""

    anchor: str
    label: str
    dial: str
    answers: Sequence[Answer]


@dataclass(frozen=True)
class HeatCell:
    """How many instances are solved without a cause.

    strength: Their share, from 0 to 1; None if it was not searched.
    note: Where the optimizer then breaks.
    holds: True for a cause.
    empty: Why it has no text.
    """

    text: str
    spoken: str = ""
    strength: float | None = None
    note: str = ""
    holds: bool = False
    empty: str = ""


@dataclass(frozen=True)
class HeatRow:
    """An optimizer on a problem: places of the optimizer and the section, for the filter."""

    style: int
    place: int
    anchor: str
    name: str
    breaks: str
    as_it_is: HeatCell
    cells: list[HeatCell]


@dataclass(frozen=True)
class Heat:
    """What was measured by taking causes away. columns: name and cause; groups: a heading, if any, and its rows."""

    caption: str
    corner: str
    columns: Sequence[tuple[str, str]]
    groups: Sequence[tuple[str, Sequence[HeatRow]]]
    remarks: Sequence[str]


@dataclass(frozen=True)
class Cure:
    """What would cure an optimizer on a problem."""

    place: int
    anchor: str
    label: str
    breaks: str
    why: str


@dataclass(frozen=True)
class Section:
    """A subsection of the book."""

    title: str
    rows: Sequence[MatrixRow]
    landscapes: Sequence[Landscape]


@dataclass(frozen=True)
class Page:
    """The whole report. heading and key: of the matrix; guessed: True if the key ends by explaining the readings."""

    title: str
    protocol: Sequence[str]
    heading: str
    key: str
    guessed: bool
    next: str
    next_anchor: str
    optimizers: Sequence[str]
    sections: Sequence[Section]
    remarks: Sequence[str]
    failures: Table | None
    heat: Heat | None = None
    cures: Mapping[int, Sequence[Cure]] = field(default_factory=dict)  # by the optimizer's place
    provenance: Sequence[Mapping[str, str]] = field(default_factory=list)

    @property
    def charts(self) -> Iterator[Chart]:
        """Every figure, in the order of the page."""
        for section in self.sections:
            for landscape in section.landscapes:
                if landscape.frontier is not None:
                    yield landscape.frontier
                for strip in landscape.strips:
                    yield from strip.charts
