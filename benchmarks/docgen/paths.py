"""The folder of published pages and pictures."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
NAMES_FILE = DOCS / "names.csv"  # which ranked problems prove their names
