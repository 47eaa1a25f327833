"""Escape text for Markdown."""

from __future__ import annotations


def markdown_cell(text: str) -> str:
    """Return a text as a cell of a Markdown table."""
    return escaped(text).replace("|", "\\|")


def escaped(text: str) -> str:
    """Return a text whose * and < Markdown shows, as in x* and in bounds, instead of reading emphasis or HTML."""
    return text.replace("*", "\\*").replace("<", "&lt;")
