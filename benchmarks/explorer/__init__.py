"""An interactive page: problems in two dimensions, whose start, dial and optimizers are moved by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.explorer.lecture import LECTURE
from benchmarks.explorer.scenes import LONGEST, METHODS, SCENES, described
from benchmarks.pages import render
from ravine.whole_file import write_whole

HERE = Path(__file__).parent
TITLE = "<title>Explore · Ravine</title>".encode()
LIBRARIES = {  # each with the licences that have to be in every copy
    "d3-array": ("d3-array", "internmap"),
    "d3-contour": ("d3-contour",),
}
SCRIPTS = ("formulas.js", "optimizers.js", "words.js", "page.js")


def html() -> str:
    """Return the page: one file that needs no network."""
    from markupsafe import Markup

    return render.html(
        HERE / "page.html",
        "".join([*_libraries(), *map(_text, SCRIPTS)]),
        style=Markup(_text("page.css")),
        methods=list(METHODS),
        longest=LONGEST,
        data={
            "scenes": {name: described(scene) for name, scene in SCENES.items()},
            "lecture": [each.described(SCENES[each.scene]) for each in LECTURE],
            "methods": list(METHODS),
        },
    )


def _text(name: str) -> str:
    return (HERE / name).read_text("utf-8")


def _libraries() -> Iterator[str]:
    """Yield the script of each library, behind its licences."""
    for name, licences in LIBRARIES.items():
        yield from (f"/* {each}:\n{_text(f'vendor/LICENSE.{each}')}*/\n" for each in licences)
        yield _text(f"vendor/{name}.min.js")


def write(file: Path) -> None:
    """Write the page whole or not at all, as the previous file may be open."""
    write_whole(html(), file)


def is_page(file: Path) -> bool:
    """True if a file is such a page, which may be replaced."""
    return file.is_file() and TITLE in file.read_bytes()
