"""Text as a cell of a Markdown table."""

from __future__ import annotations


def markdown_cell(text: str) -> str:
    """A text as a cell of a Markdown table."""
    return escaped(text).replace("|", "\\|")


def escaped(text: str) -> str:
    """What Markdown would read as emphasis or as HTML is a minimizer x* and a bound."""
    return text.replace("*", "\\*").replace("<", "&lt;")
