"""The table of breaking points, optimizers × problems of a sweep; and which entry to look at next."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas

from benchmarks.analysis.columns import OF_PROBLEMS
from benchmarks.analysis.dial_axis import Axis, BreakingPoint
from benchmarks.analysis.pairs import LEVEL, discrimination, fewest
from benchmarks.analysis.rungs import judged, too_few
from benchmarks.analysis.tables import Tables
from benchmarks.catalog.subsections import by_subsection
from benchmarks.display.default_beats_tuned import default_beats_tuned
from benchmarks.display.first_rung import unsolved_first_rungs, why_unsolved
from benchmarks.display.numbers_as_text import as_words
from benchmarks.display.unjudged import why_unjudged
from benchmarks.display.view import View
from benchmarks.engine.status import UNJUDGED
from benchmarks.store.cell_info import CellInfo
from problems import Card
from ravine.terminal import TABLES

EASIER, HARDER = -1.0, 2.0  # places of censored breaking points
FALLING = " ↓"


def dial_of(card: Card) -> str:
    """Return the name of a problem's dial, marked if the problem gets harder as it falls."""
    return f"{card.dial}{FALLING if card.ladder[0] > card.ladder[-1] else ''}"


@dataclass(frozen=True)
class Entry:
    """One optimizer on one problem: its text in the table, and its place on the ladder, from 0 to 1.

    point: the breaking point; None for a single rung, or if `unjudged`.
    place: of the breaking point, in the dial's own scale; EASIER or HARDER if it is censored; the share of instances
        solved for a single rung; None without numbers, or if `unjudged`.
    unjudged: the status of the runs if they cannot be judged; else empty.
    """

    optimizer: str
    problem: str
    label: str
    dial: str
    falling: bool
    text: str
    place: float | None
    job: str
    point: BreakingPoint | None = None
    unjudged: str = ""


@dataclass(frozen=True)
class Matrix:
    """Optimizers × problems of a sweep, tuned; the optimizers in `own` come first."""

    tables: Tables
    own: Container[str] = ()

    @cached_property
    def entries(self) -> dict[tuple[str, str], Entry]:
        """The entries by optimizer and problem; each variant of a problem has its own."""
        cells = self.tables.runs.drop_duplicates("cell").set_index("cell", drop=False)
        cells["job"] = [self.tables.cells[str(key)].info.job for key in cells.index]
        found = {}
        for _, of_problem in cells.groupby("problem", sort=False):
            for _, of_job in of_problem.groupby("job", sort=False):
                entry = self._entry(of_job, of_problem)
                found[entry.optimizer, entry.label] = entry
        return found

    @cached_property
    def optimizers(self) -> list[str]:
        """The optimizers: `own` first, then by number of problems with numbers, then by mean place."""

        def order(name: str) -> tuple[bool, int, float]:
            places = self._places(name)
            return name not in self.own, -len(places), -float(np.mean(places or [EASIER]))

        return sorted({name for name, _ in self.entries}, key=lambda name: (*order(name), name))

    @cached_property
    def problems(self) -> list[str]:
        """The problems in the order of the book's subsections, then those outside the book."""
        known = itertools.chain.from_iterable(by_subsection().values())
        order = {name: k for k, name in enumerate(known)}
        by_label = {each.label: each.problem for each in self.entries.values()}
        return sorted(by_label, key=lambda label: (order.get(by_label[label], len(order)), label))

    def views(self, width: int = TABLES) -> Iterator[View]:
        """Yield the table in blocks of as many problems as fit; a block leaves out optimizers without entries.

        Args:
            width: How many columns of text a block may take.
        """
        blocks = self._blocks(width)
        for k, labels in enumerate(blocks):
            rows = [
                {"": name, **{label: self._text(name, label) for label in labels}}
                for name in self.optimizers
                if any((name, label) in self.entries for label in labels)
            ]
            table = pandas.DataFrame([{"": "", **self._dials(labels)}, *rows])
            first, last = k == 0, k == len(blocks) - 1
            remarks = [*self.intervals(), *self.remarks()] if last else []
            yield View(self._title() if first else "", table, remarks)

    @property
    def of_interest(self) -> list[str]:
        """The user's optimizers; without any, the last one that was run everywhere."""
        names = [name for name in self.optimizers if name in self.own]
        most = max(len(self._places(name)) for name in self.optimizers)
        everywhere = [name for name in self.optimizers if len(self._places(name)) == most]
        return names or everywhere[-1:]

    def weakest(self) -> Entry | None:
        """Return the lowest entry of the optimizers of interest.

        Ties go to the problem on which the other optimizers get furthest. None if nothing breaks.
        """
        names = self.of_interest
        candidates = [
            each
            for each in self.entries.values()
            if each.optimizer in names and each.place is not None and each.place < 1
        ]
        return min(candidates, key=lambda each: (each.place, -self._of_others(each)), default=None)

    def breaks_first(self, weakest: Entry, why: str = "") -> str:
        """Return a sentence on where the weakest entry's optimizer breaks first, or on one rung solves fewest.

        It names all problems where it does.

        Args:
            weakest: What `weakest` returns.
            why: Why it breaks there, in words.
        """
        tied = [
            each.label
            for each in self.entries.values()
            if each.optimizer == weakest.optimizer
            and each.place == weakest.place
            and each.label != weakest.label
        ]
        one_rung = weakest.point is None
        what = "solves fewest on" if one_rung else "breaks first on"
        return (
            f"{weakest.optimizer} {what} {weakest.label}: {'' if one_rung else f'{weakest.dial} '}{weakest.text}"
            + (f" ({why})" if why else "")
            + (f", and as {'few' if one_rung else 'early'} on {', '.join(tied)}" if tied else "")
            + "."
        )

    def _entry(self, of_job: pandas.DataFrame, of_problem: pandas.DataFrame) -> Entry:
        info = self.tables.cells[str(of_job["cell"].iloc[0])].info
        point = self._point(info.job)
        if point is None:
            text, place, unjudged = self._at_one_rung(of_job)
        elif point.unjudged:
            text, place, unjudged, point = point.point, None, point.unjudged, None
        else:
            text = point.point + ("?" if point.dose_response is False else "")
            place, unjudged = _place(point, of_job["dial"], info), ""
        fields = [
            name
            for name in map(str, of_problem)
            if name.startswith(OF_PROBLEMS)
            and name != info.dial_column
            and of_problem[name].nunique(dropna=False) > 1
        ]
        variant = [f"{each.removeprefix('problem.')} {of_job[each].iloc[0]}" for each in fields]
        label = " ".join([info.problem, *variant])
        dial = f"{info.dial_name}{FALLING if info.falling else ''}"
        return Entry(
            info.optimizer, info.problem, label, dial, info.falling, text, place, info.job, point, unjudged
        )  # fmt: skip

    def _point(self, job: str) -> BreakingPoint | None:
        points = self.tables.breaking_points
        if points.empty:
            return None
        mine = (points["job"] == job) & (points["choice"] == "tuned") & (points["budget"] == 1)
        return next(map(BreakingPoint.of, points[mine].to_dict("records")), None)

    def _at_one_rung(self, of_job: pandas.DataFrame) -> tuple[str, float | None, str]:
        """Return text, place and `unjudged` of an entry."""
        summary = self.tables.summary
        tuned = (
            summary[summary["cell"].isin(of_job["cell"]) & (summary["choice"] == "tuned")]
            if "choice" in summary
            else summary[:0]
        )
        if len(tuned):
            solved, runs = int(tuned["solved"].iloc[0]), int(tuned["runs"].iloc[0])
            status = str(tuned["status"].iloc[0])
            if status not in UNJUDGED:
                return f"{solved} of {runs}", solved / runs, ""
            return as_words(status), None, status
        return as_words(of_job["status"].iloc[0]), None, ""

    def _text(self, name: str, label: str) -> str:
        entry = self.entries.get((name, label))
        return "n/a" if entry is None else entry.text

    def _dials(self, labels: Sequence[str]) -> dict[str, str]:
        by_label = {each.label: each.dial for each in self.entries.values()}
        return {label: by_label[label] for label in labels}

    def _places(self, name: str) -> list[float]:
        return [
            each.place
            for each in self.entries.values()
            if each.optimizer == name and each.place is not None
        ]

    def _of_others(self, entry: Entry) -> float:
        """Return the mean place of the other optimizers on its problem."""
        places = [
            each.place
            for each in self.entries.values()
            if each.label == entry.label
            and each.optimizer != entry.optimizer
            and each.place is not None
        ]
        return float(np.mean(places or [EASIER]))

    def _blocks(self, width: int) -> list[list[str]]:
        left = max(map(len, self.optimizers))
        blocks, room = [], 0
        for label in self.problems:
            texts = [label, *(self._text(name, label) for name in self.optimizers)]
            texts += self._dials([label]).values()
            wide = 2 + max(map(len, texts))
            if wide > room:
                blocks.append([])
                room = width - left
            blocks[-1].append(label)
            room -= wide
        return blocks

    def _title(self) -> str:
        several = self.tables.runs.groupby("problem")["dial"].nunique().max() > 1
        what = "the dial up to which half of the instances are solved"
        return f"Breaking points, tuned: {what}" if several else "Instances solved, tuned"

    def intervals(self) -> list[str]:
        """Return where the intervals of the breaking points are, if there are any."""
        if all(each.point is None for each in self.entries.values()):
            return []
        return [
            "Their 95 % intervals (wide with few instances) are in breaking_points.csv and in the report."
        ]

    def remarks(self) -> list[str]:
        """Return the meaning of each mark in the table, and where the search did worse than the default."""
        entries = self.entries.values()
        points = [each.point for each in entries if each.point is not None]
        absent = len(self.entries) < len(self.optimizers) * len(self.problems)
        unsolved = unsolved_first_rungs(self.tables, self.of_interest)
        others = self.tables.summary[~self.tables.summary["cell"].isin(unsolved)]
        skipped = int((self.tables.runs["status"] == "skipped").sum())
        said = {
            "> and <: outside the tested rungs.": any(each.censored for each in points),
            "?: a harder dial does not mean fewer solved here.": any(each.dose_response is False for each in points),
            f"{FALLING.strip()}: the problem gets harder as this dial falls.":
                any(each.falling for each in entries),
            "n/a: not run.": absent,
            **dict.fromkeys(why_unjudged(each.unjudged for each in entries), True),
            f"{skipped} of {len(self.tables.cells)} cells were skipped and count as not solved: "
            "no trial solves an easier rung.": skipped > 0,
            **dict.fromkeys(why_unsolved(self.tables, unsolved), True),
            **dict.fromkeys(default_beats_tuned(others), True),
        }  # fmt: skip
        return [text for text, holds in said.items() if holds]


def separation(tables: Tables) -> list[str]:
    """Return lines on how many rungs tell optimizers apart; none for fewer than two optimizers."""
    noisy = {cell.info.problem for cell in tables.cells.values() if cell.info.noisy}
    if "choice" not in tables.summary:
        return []
    table = judged(discrimination(tables.runs, tables.summary, noisy=noisy))
    if table.empty:
        return []
    said = said_of_rungs(table, too_few(tables.runs))
    silent = table.groupby("problem")["separates"].any()
    names = ", ".join(map(str, silent.index[~silent]))
    return [*said, *([f"No rung of {names} tells two apart."] if names else [])]


def said_of_rungs(table: pandas.DataFrame, few: Sequence[str], peer: str = "") -> list[str]:
    """Return a sentence on the rungs that say nothing, and one without those that are there for another reason.

    Args:
        table: The rows of `judged`.
        few: The problems with too few instances to tell two optimizers apart.
        peer: What to compare the share with, in words.
    """
    one_sided, alike = table["won"] != "some", ~table["separates"]
    everybody, nobody = ((table["won"] == each).sum() for each in ("all", "none"))
    hopeless = int((alike & table["problem"].isin(few)).sum())
    said = [
        f"{one_sided.sum()} of {len(table)} rungs ({one_sided.mean():.0%}{peer and '; '}{peer}) are solved by all "
        f"optimizers ({everybody}) or by none ({nobody}), and on {alike.sum()} a sign test at {LEVEL:.0%} tells no two "
        "apart"
        + (
            f", {hopeless} of them with fewer than the {fewest()} instances that it takes ({', '.join(few)})."
            if hopeless
            else "."
        )
    ]
    reasons = table["wanted"].value_counts()
    counted = one_sided[table["wanted"] == ""]
    meant = [
        f"{reasons[name]} {why}"
        for name, why in (
            (
                "bracket",
                "just beyond the last rung that any optimizer solves (they bound a breaking point)",
            ),
            ("control", "without the pathology"),
        )
        if name in reasons
    ]
    if meant:
        share = f" ({counted.mean():.0%})" if len(counted) else ""
        said.append(
            f"By design: {' and '.join(meant)}. Of the other {len(counted)} rungs, "
            f"{counted.sum()}{share} are solved by all or by none."
        )
    return said


def _place(point: BreakingPoint, dials: pandas.Series, info: CellInfo) -> float:
    """Return the place of a breaking point on the ladder, from 0 to 1; EASIER or HARDER if it is censored."""
    if point.censored:
        return HARDER if (point.censored == ">") != info.falling else EASIER
    axis = Axis.of(dials.unique(), info.scale, info.falling)
    if info.scale == "list":
        x = float(np.flatnonzero(axis.dials == point.value)[0])
    else:
        x = float(np.log10(point.value) if info.scale == "log" else point.value)
        x = -x if info.falling else x
    return float((x - axis.x[0]) / (axis.x[-1] - axis.x[0]))
