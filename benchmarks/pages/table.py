"""A table as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """A cell of a table: its text, and the number it is sorted by (None: sorted by the text)."""

    text: str
    by: float | None = None


@dataclass(frozen=True)
class Row:
    """A row of a table; `style` is the optimizer's place on the page, for the filter."""

    style: int | None
    fields: Sequence[Field]


@dataclass(frozen=True)
class Table:
    """A table; the first column names the row. numeric: index of the first column of numbers; 9 if there is none."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Row]
    note: str = ""
    numeric: int = 1
