"""An interactive page: problems in two dimensions, whose start, dial and optimizers are moved by hand."""

from __future__ import annotations

from pathlib import Path

from benchmarks.explorer.lecture import LECTURE
from benchmarks.explorer.scenes import LONGEST, METHODS, SCENES, described
from benchmarks.pages import render

HERE = Path(__file__).parent
TITLE = "<title>Explore · Ravine</title>".encode()
SCRIPTS = (
    "vendor/d3-array.min.js", "vendor/d3-contour.min.js", "formulas.js", "optimizers.js", "words.js", "page.js",
)  # fmt: skip


def html() -> str:
    """Return the page: one file that needs no network."""
    from markupsafe import Markup

    return render.html(
        HERE / "page.html",
        "".join((HERE / each).read_text("utf-8") for each in SCRIPTS),
        style=Markup((HERE / "page.css").read_text("utf-8")),
        methods=list(METHODS),
        longest=LONGEST,
        data={
            "scenes": {name: described(scene) for name, scene in SCENES.items()},
            "lecture": [each.described(SCENES[each.scene]) for each in LECTURE],
            "methods": list(METHODS),
        },
    )


def write(file: Path) -> None:
    """Write the page whole or not at all, as the previous file may be open."""
    render.write(html(), file)


def is_page(file: Path) -> bool:
    """True if a file is such a page, which may be replaced."""
    return file.is_file() and TITLE in file.read_bytes()
