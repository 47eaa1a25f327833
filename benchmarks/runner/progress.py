"""Show the progress of a sweep on stderr: one live line on a terminal, else a plain line per cell."""

from __future__ import annotations

import dataclasses
import math
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any, TypeVar

from benchmarks.runner.job import CellDone
from ravine.terminal import SILENT, is_live

T = TypeVar("T")
BAR = 20  # columns
AT_FIRST = 0.1  # weight of the forecast against the measured pace, as a share of the sweep
READING = 0.08  # seconds that a stored cell takes, until some have been read


@dataclass(frozen=True)
class Ahead:
    """The work ahead of a job, in forecast seconds of computing.

    cells: by dial, for each certain cell; 0 if it is stored.
    more: for each cell that the search for the breaking point may add; searched: their largest number.
    """

    cells: Mapping[float, float]
    more: float = 0.0
    searched: int = 0


class _Bar:
    """A live line on a terminal: a bar that never goes back, and what is said beside it."""

    def __init__(self):
        from rich.console import Console  # only a terminal needs it
        from rich.progress import BarColumn, Progress, TextColumn

        self._shown = Progress(
            BarColumn(BAR),
            TextColumn("{task.description}", markup=False),
            console=Console(file=sys.stderr, highlight=False),
            auto_refresh=False,  # a thread of its own would be forked with the workers
            redirect_stdout=False,
            redirect_stderr=False,
            transient=True,
        )
        self._task = self._shown.add_task("", total=1.0)
        self._share = 0.0

    def show(self, share: float, text: str) -> None:
        self._share = max(self._share, share)
        room = self._shown.console.width - BAR - 1
        self._shown.update(self._task, completed=self._share, description=text[:room])
        self._shown.start()
        self._shown.refresh()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._shown.console.print(line, markup=False, soft_wrap=True)

    def close(self) -> None:
        self._shown.stop()


class Progress:
    """Count cells and estimate the time left, from the notes of all processes.

    ahead: the work ahead, by job.
    processes: cells that run at a time.
    notes: returns the notes, of `cell_note` and `job_note`, since the last call.
    then: what comes after the cells, which the time left leaves out.
    here: the cells run in this process, one after the other.

    Time left = (work ahead × seconds/work of the cells that were computed + stored cells ahead × median seconds of
    those that were read)/processes. Only seconds within cells count, so a slow start of the workers does not
    matter. What the cells that are running have taken is not known, but `here` it is the time since the last one
    ended. Skipped cells count as done at zero cost. The expected number of bisection cells is extrapolated from
    finished jobs (prior: half of the maximum).
    """

    def __init__(
        self,
        ahead: Mapping[str, Ahead],
        processes: int,
        notes: Callable[[], Iterable[Mapping[str, Any]]],
        then: str = "",
        here: bool = False,
    ):
        self.ahead = ahead
        self.here = here
        self.then = f", then {then}" if then else ""
        self.processes = processes
        self.notes = notes
        self.bar = _Bar() if is_live(sys.stderr) else None
        self.lock = threading.Lock()
        self.last, self.since = "", time.monotonic()  # which cell ended last, and when
        self.unsaid, self.due = "", 0.0  # what a log says if the first cell takes long, and when
        self.runs = 0
        self.cells = self.of_search = self.offered = self.used = self.dropped = 0
        self.certain_work = self.search_work = 0.0
        self.computed = self.work = 0.0  # seconds of the cells that were not stored; by forecast
        self.read: list[float] = []  # seconds of each cell that was stored

    def start(self) -> None:
        """Show that the sweep has begun; in a log, only if the first cell takes long."""
        self.since = time.monotonic()
        if self.bar is not None:
            self._draw(self.bar)
            return
        at_once = f", {self.processes} at a time" if self.processes > 1 else ""
        count = self._of().strip("/~")
        cells = "cell" if count == "1" else "cells"
        self.unsaid = f"running {count} {cells}{at_once}{self._left()}"
        self.due = time.monotonic() + SILENT

    def say(self, line: str) -> None:
        """Print a line of the command, on a terminal above the bar."""
        self._print(f"ravine: {line}")

    def watch(self) -> None:
        """Show which cells have ended since the last call, and the time left; in a log, once if the first is long."""
        with self.lock:
            for note in self.notes():
                self._count(note)
                if "cell" in note:
                    self._show(CellDone(**note["cell"]))
            if self.bar is not None:
                self._draw(self.bar)
            if self.unsaid and time.monotonic() >= self.due:
                self.say(self.unsaid)
                self.unsaid = ""

    def _show(self, done: CellDone) -> None:
        self.unsaid, self.since = "", time.monotonic()
        self.runs += done.runs
        if done.error:
            said = done.error
        elif done.skipped:
            said = f"skipped, {done.skipped}"
        elif done.cached:
            said = "had been run before"
        else:
            said = f"{done.runs} runs in {done.seconds:.1f} s"
        if done.damage:
            said = f"{said}, again because {done.damage}"
        self.last = what = f"{done.problem} at {done.dial:g} · {done.optimizer}"
        if self.bar is None:
            self._print(f"{self.cells}{self._of()} {what}: {said}{self._left()}")
            return
        if done.error or done.damage:
            self._print(f"{what}: {said}")

    def _draw(self, bar: _Bar) -> None:
        runs = f" · {self.runs} runs" if self.cells else ""
        last = f" · {self.last}" if self.last else ""
        text = f"{self.cells}{self._of()} cells{runs}{self._left()}{last}"
        bar.show(self.cells / max(self._total(), 1), text)

    def close(self) -> None:
        """Show the last cells, and clear the live line."""
        self.unsaid = ""
        self.watch()
        if self.bar is not None:
            self.bar.close()

    def _count(self, note: Mapping[str, Any]) -> None:
        if "offered" in note:
            self.offered += note["offered"]
            self.used += note["used"]
            self.dropped += note["dropped"]
            self.certain_work += note["work"]
            self.search_work += note["unused"]
        else:
            self.cells += 1
            self.of_search += note["search"]
            if note["search"]:
                self.search_work += note["work"]
            else:
                self.certain_work += note["work"]
            if note["work"]:
                self.computed += note["cell"]["seconds"]
                self.work += note["work"]
            else:
                self.read.append(note["cell"]["seconds"])

    def _needed(self) -> float:
        """Return the expected share of bisection cells that are run, of those that searches may add."""
        most = max((each.searched for each in self.ahead.values()), default=0)
        return (self.used + most / 2) / (self.offered + most) if most else 0.0

    def _total(self) -> int:
        """Return the expected number of cells."""
        certain = sum(len(each.cells) for each in self.ahead.values()) - self.dropped
        return certain + self.of_search + round(self._needed() * self._may_be_added())

    def _may_be_added(self) -> int:
        searched = sum(each.searched for each in self.ahead.values())
        return max(searched - self.of_search - (self.offered - self.used), 0)

    def _of(self) -> str:
        return f"/{'~' if self._may_be_added() else ''}{self._total()}"

    def _left(self) -> str:
        certain = sum(sum(each.cells.values()) for each in self.ahead.values())
        search = sum(each.searched * each.more for each in self.ahead.values())
        share = self._needed()
        left = max(certain - self.certain_work, 0) + share * max(search - self.search_work, 0)
        behind = self.certain_work + share * self.search_work
        at_first = AT_FIRST * (left + behind)
        computing = left * (self.computed + at_first) / (self.work + at_first) if left else 0.0
        stored = sum(
            [*each.cells.values()].count(0) + (0 if each.more else share * each.searched)
            for each in self.ahead.values()
        )
        reads = max(min(stored - len(self.read), self._total() - self.cells), 0)
        # The first one takes longer in each process, which imports what it needs.
        seconds = computing + reads * median_low([READING] * self.processes + self.read)
        if not seconds or (self.cells >= self._total() and not self._may_be_added()):
            return ""
        seconds /= self.processes
        if self.here:
            seconds -= time.monotonic() - self.since
        if seconds < 0:
            return f" · longer than the forecast{self.then}"
        return f" · about {duration(seconds)} left{self.then}"

    def _print(self, line: str) -> None:
        if self.bar is not None:
            self.bar.say(line)
        else:
            print(line, file=sys.stderr, flush=True)


class JobsProgress:
    """Count jobs that have ended: one live line on a terminal, which also says what runs, else a line for each.

    The time left is not told: a job that does not break takes none, and how much another needs is seen as it goes.

    what: What is done with them.
    count: The number of jobs.
    ended: Returns how many have ended.
    running: Returns what is being done at the moment.
    """

    def __init__(
        self,
        what: str,
        count: int,
        ended: Callable[[], int],
        running: Callable[[], Iterable[str]],
    ):
        self._what, self._count, self._ended, self._running = what, count, ended, running
        self._bar = _Bar() if is_live(sys.stderr) else None
        self._shown = ""
        self._lock = threading.Lock()

    def watch(self) -> None:
        """Show what has changed."""
        with self._lock:
            self._watch()

    def _watch(self) -> None:
        done = self._ended()
        line = f"{self._what} {done}/{self._count}"
        if self._bar is not None:
            line = " · ".join([line, *self._running()])
        if line == self._shown or (self._bar is None and done == 0):
            return
        self._shown = line
        if self._bar is not None:
            self._bar.show(done / max(self._count, 1), line)
        else:
            print(f"ravine: {line}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Clear the live line."""
        if self._bar is not None:
            self._bar.close()


def cell_note(ahead: Ahead, done: CellDone) -> dict[str, Any]:
    """Return the note about a cell that has ended, for the process that shows the progress."""
    return {
        "time": time.time(),
        "work": ahead.cells.get(done.dial, ahead.more),
        "search": done.dial not in ahead.cells,
        "cell": dataclasses.asdict(done),
    }


def job_note(ahead: Ahead, dials: Iterable[float]) -> dict[str, Any]:
    """Return the note about a job that has ended with the cells at these dials."""
    dials = set(dials)
    dropped = [dial for dial in ahead.cells if dial not in dials]
    used = len(dials - ahead.cells.keys())
    return {
        "time": time.time(),
        "work": sum(ahead.cells[dial] for dial in dropped),
        "dropped": len(dropped),
        "offered": ahead.searched,
        "used": used,
        "unused": (ahead.searched - used) * ahead.more,
    }


def watched(items: Sequence[T], what: str) -> Iterator[T]:
    """Yield items; if that takes longer than `SILENT`, say on stderr how far it is, how long it takes, and the end."""
    began, done, said = time.perf_counter(), 0, False

    def say() -> None:
        nonlocal said
        said = True
        pace = (time.perf_counter() - began) / done if done else math.nan
        left = (
            f"about {duration(pace * (len(items) - done))} left" if done else "the first takes long"
        )
        print(f"ravine: {what}: {done}/{len(items)} · {left}", file=sys.stderr)

    timer = threading.Timer(SILENT, say)
    timer.daemon = True  # Ctrl-C need not wait for it
    timer.start()
    try:
        for done, each in enumerate(items):  # noqa: B007 - `say` reads it
            yield each
        if said:
            print(f"ravine: {what}: done", file=sys.stderr)
    finally:
        timer.cancel()


def duration(seconds: float) -> str:
    """Return a duration as text, rounded up."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
