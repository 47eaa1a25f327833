"""How far a sweep is, on stderr: one live line on a terminal, a plain line per cell anywhere else."""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Callable

from benchmarks.jobs import CellDone

CLEAR = "\r\x1b[K"


class Progress:
    """Counts cells. Worker processes have one each, and share the count through `counted`.

    cells: how many there will be, or None where that shows only on the way.
    counted: how many are done, in all processes together.
    """

    def __init__(self, cells: int | None, counted: Callable[[], int]):
        self.cells = cells
        self.counted = counted
        self.live = sys.stderr.isatty()
        self.began = time.time()
        self.runs = 0
        self.cached = 0

    def start(self) -> None:
        """Say that something happens."""
        if self.live:
            self._write(f"0{self._of()} cells")

    def cell(self, done: CellDone) -> None:
        """A cell has ended."""
        count = self.counted()
        self.runs += done.runs
        self.cached += done.cached
        if done.error:
            said = done.error
        elif done.skipped:
            said = f"skipped, {done.skipped}"
        elif done.cached:
            said = "had been run before"
        else:
            said = f"{done.runs} runs in {done.seconds:.1f} s"
        what = f"{done.problem} at {done.dial:g} · {done.optimizer}"
        if not self.live:
            self._write(f"{count}{self._of()} {what}: {said}\n")
        elif done.error:
            self._write(f"{CLEAR}{what}: {said}\n")
        if self.live:
            self._write(
                self._cut(
                    f"{CLEAR}{count}{self._of()} cells · {self.runs} runs{self._left(count)} · {what}"
                )
            )

    def close(self) -> None:
        """Leave the line to what is printed next."""
        if self.live:
            self._write(CLEAR)

    def _of(self) -> str:
        return f"/{self.cells}" if self.cells else ""

    def _left(self, count: int) -> str:
        computed = count - self.cached
        if not self.cells or computed < 1:
            return ""
        seconds = (time.time() - self.began) / computed * max(0, self.cells - count)
        return f" · about {duration(seconds)} left"

    def _cut(self, line: str) -> str:
        return line[: shutil.get_terminal_size().columns - 1 + len(CLEAR)]

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def duration(seconds: float) -> str:
    """In words, rounded up."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
