"""Write Markdown: tables, text without markup, and the generated parts of a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table.

    Args:
        head: The names of the columns.
        rows: Their cells, in Markdown; see `markdown_cell`.
    """
    return "\n".join([markdown_row(head), f"|{'---|' * len(head)}", *map(markdown_row, rows)])


def markdown_row(cells: Iterable[object]) -> str:
    """Return a row of a table, of cells in Markdown."""
    return f"| {' | '.join(map(str, cells))} |"


def markdown_cell(text: str) -> str:
    """Return a text as a cell of a Markdown table."""
    return escaped(text).replace("|", "\\|")


def escaped(text: str) -> str:
    """Return a text whose * and < Markdown shows, as in x* and in bounds, instead of reading emphasis or HTML."""
    return text.replace("*", "\\*").replace("<", "&lt;")


def with_part(page: str, part: str, text: str) -> str:
    """Return a page with a text between its marks `<!-- part -->` and `<!-- end of part -->`."""
    begin, end = f"<!-- {part} -->", f"<!-- end of {part} -->"
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}"
