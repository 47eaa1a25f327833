"""Where published pages and pictures lie, and how pictures are saved."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
DOTS = 110  # an inch
DIGEST = "Source digest"
