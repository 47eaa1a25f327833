"""A table with a title and remarks, for a terminal or a notebook."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import pandas

from benchmarks.display import WIDTH
from ravine import printable

WHY = "why"  # the column with the reasons why runs are not solved
READS_LIKE = "reads like"  # the column with what is only read off the traces


@dataclass(frozen=True)
class View:
    """What is shown of one problem: a title, a table, and remarks below it.

    A view that `wraps` is as wide as a terminal at most: further columns follow below, with the first one beside them.
    """

    title: str
    table: pandas.DataFrame
    remarks: list[str]
    wraps: bool = False

    def text(self) -> str:
        """Return the view as text for a terminal."""
        words = (self.table.columns[0], WHY, READS_LIKE)
        aligned = [
            column(
                [printable(each) for each in (str(label), *self.table[label].astype(str))],
                str.ljust if label in words else str.rjust,
            )
            for label in self.table
        ]
        blocks = [aligned]
        if self.wraps:
            first, *others = aligned
            blocks = [[first]]
            for each in others:
                if (
                    sum(len(cells[0]) + 2 for cells in (*blocks[-1], each)) > WIDTH
                    and len(blocks[-1]) > 1
                ):
                    blocks.append([first])
                blocks[-1].append(each)
        rows = "\n\n".join(
            "\n".join("  ".join(row).rstrip() for row in zip(*block, strict=True))
            for block in blocks
        ).split("\n")
        title = [printable(self.title), ""] if self.title else []
        remarks = ["", *map(printable, self.remarks)] if self.remarks else []
        return "\n".join([*title, *rows, *remarks])

    def html(self) -> str:
        """Return the view as HTML for a notebook."""
        remarks = "".join(f"<p>{html.escape(each)}</p>" for each in self.remarks)
        return f"<p><b>{html.escape(self.title)}</b></p>{self.table.to_html(index=False)}{remarks}"


def column(cells: list[str], justify: Any) -> list[str]:
    """Return the cells of a column, padded to the width of the widest."""
    width = max(map(len, cells))
    return [justify(cell, width) for cell in cells]
