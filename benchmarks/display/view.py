"""A table with a title and remarks, for a terminal or a notebook."""

from __future__ import annotations

import html
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas

from ravine import printable
from ravine.terminal import TABLES, columns

if TYPE_CHECKING:
    from rich.table import Table

WHY = "why"  # the column with the reasons why runs are not solved
READS_LIKE = "reads like"  # the column with what is only read off the traces
BETWEEN = 2  # blanks between two columns
SENTENCE = 24  # columns of a terminal that a cell of words needs at least, if it is as long


@dataclass(frozen=True)
class Column:
    """The cells of one column as text, the head first; `words` wrap between words, numbers do not."""

    cells: Sequence[str]
    words: bool

    @property
    def width(self) -> int:
        """The width without wrapping."""
        return max(map(len, self.cells))

    @property
    def narrowest(self) -> int:
        """The width down to which it can be read, with a wrapped head."""
        head, *cells = self.cells
        longest = max((len(each) for each in cells), default=0)
        return max([min(longest, SENTENCE) if self.words else longest, *map(len, head.split())])


@dataclass(frozen=True)
class View:
    """What is shown of one problem: a title, a table, and remarks below it.

    As text it is as wide as it is, unless it `wraps`. On a terminal it is as wide as that: heads and words are wrapped,
    and columns for which there is no room follow below, with the first one beside them.
    """

    title: str
    table: pandas.DataFrame
    remarks: list[str]
    wraps: bool = False

    def text(self) -> str:
        """Return the view as plain text, the same wherever it is printed."""
        blocks = _blocks(self._columns(), TABLES, lambda each: each.width) if self.wraps else None
        rows = (_lines(block) for block in blocks or [self._columns()] if block)
        parts = [printable(self.title), *rows, "\n".join(map(printable, self.remarks))]
        return "\n\n".join(filter(None, parts))

    def for_stdout(self) -> str:
        """Return the view as stdout shows it: fitted to a terminal, else as plain text."""
        return self._fitted(columns(TABLES)) if sys.stdout.isatty() else self.text()

    def html(self) -> str:
        """Return the view as HTML for a notebook."""
        remarks = "".join(f"<p>{html.escape(each)}</p>" for each in self.remarks)
        return f"<p><b>{html.escape(self.title)}</b></p>{self.table.to_html(index=False)}{remarks}"

    def _columns(self) -> list[Column]:
        words = (*self.table.columns[:1], WHY, READS_LIKE)
        return [
            Column([*map(printable, [str(label), *self.table[label].astype(str)])], label in words)
            for label in self.table
        ]

    def _fitted(self, width: int) -> str:
        """Return the view for a terminal of this width."""
        from rich.console import Console  # only a terminal needs it
        from rich.text import Text

        blocks = _blocks(self._columns(), width, lambda each: each.narrowest)
        parts = [
            [Text(printable(self.title), "bold")] if self.title else [],
            *([_table(block, width)] for block in blocks if block),
            [Text(printable(each)) for each in self.remarks],
        ]
        console = Console(
            file=io.StringIO(), force_terminal=True, width=width, height=25, highlight=False
        )
        with console.capture() as shown:
            for k, part in enumerate(filter(None, parts)):
                for each in [*[""] * (k > 0), *part]:
                    console.print(each)
        return "\n".join(line.rstrip() for line in shown.get().splitlines())


def _blocks(
    every: Sequence[Column], room: int, width: Callable[[Column], int]
) -> Iterator[list[Column]]:
    """Yield the columns in blocks that fit, each with the first column."""
    block = [*every[:1]]
    for each in every[1:]:
        if len(block) > 1 and sum(width(one) + BETWEEN for one in block) + width(each) > room:
            yield block
            block = [*every[:1]]
        block.append(each)
    yield block


def _lines(block: Sequence[Column]) -> str:
    """Return columns side by side, words to the left and numbers to the right."""
    aligned = (
        [each.ljust(one.width) if one.words else each.rjust(one.width) for each in one.cells]
        for one in block
    )
    return "\n".join((" " * BETWEEN).join(row).rstrip() for row in zip(*aligned, strict=True))


def _table(block: Sequence[Column], width: int) -> Table:
    """Return columns as a table for a terminal: heads in one line each if there is room, else wrapped."""
    from rich.table import Table
    from rich.text import Text

    fits = sum(each.width + BETWEEN for each in block) - BETWEEN <= width
    table = Table(box=None, pad_edge=False, padding=(0, BETWEEN, 0, 0), header_style="bold")
    for each in block:
        table.add_column(
            Text(each.cells[0]), justify="left" if each.words else "right", overflow="fold",
            width=None if each.words else each.width if fits else each.narrowest,
        )  # fmt: skip
    for row in zip(*(each.cells[1:] for each in block), strict=True):
        table.add_row(*map(Text, row))
    return table
