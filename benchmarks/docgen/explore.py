"""Publish the page on which problems are tried out by hand: `python -m benchmarks.docgen.explore` writes it."""

from __future__ import annotations

from benchmarks import explorer
from benchmarks.docgen.paths import DOCS

PAGE = DOCS / "explore.html"

if __name__ == "__main__":
    explorer.write(PAGE)
