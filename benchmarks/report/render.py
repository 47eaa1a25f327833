"""Render the report as one self-contained file."""

from __future__ import annotations

from pathlib import Path

from benchmarks.pages import render
from benchmarks.report.page import Page, legend
from ravine.whole_file import write_whole

HERE = Path(__file__).parent


def html(page: Page) -> str:
    """Return the page as HTML, with all text escaped."""
    landscapes = [(place, each) for place, it in enumerate(page.sections) for each in it.landscapes]
    return render.html(
        HERE / "page.html",
        (HERE / "page.js").read_text("utf-8"),
        page=page,
        single=len(landscapes) == 1,
        frontiers=[(place, each) for place, each in landscapes if each.frontier is not None],
        frontier_legend=legend(
            each.frontier for _, each in landscapes if each.frontier is not None
        ),
    )


def write(page: Page, file: Path) -> None:
    """Write the page whole or not at all, as the previous file may be open."""
    write_whole(html(page), file)
