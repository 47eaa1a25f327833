"""Render the report as one self-contained file: text, style, script and figures."""

from __future__ import annotations

import math
import os
from pathlib import Path

import jinja2
from markupsafe import Markup

from benchmarks.report import svg
from benchmarks.report.page import Field, Page

HERE = Path(__file__).parent


def html(page: Page) -> str:
    """Return the page as HTML, with all text escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    landscapes = [(place, each) for place, it in enumerate(page.sections) for each in it.landscapes]
    return environment.get_template("page.html").render(
        page=page,
        single=len(landscapes) == 1,
        frontiers=[(place, each) for place, each in landscapes if each.frontier is not None],
        svg=lambda chart: Markup(svg.draw(chart)),
        sample=lambda style: Markup(svg.sample(style)),
        by=_by,
        number=attribute,
        style=Markup((HERE / "page.css").read_text()),
        script=Markup((HERE / "page.js").read_text()),
    )


def write(page: Page, file: Path) -> None:
    """Write the page whole or not at all, as the previous file may be open."""
    half = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        half.write_text(html(page), encoding="utf-8")
        half.replace(file)
    except OSError:
        half.unlink(missing_ok=True)
        raise


def _by(field: Field) -> Markup | str:
    return "" if field.by is None else Markup(f' data-v="{attribute(field.by)}"')


def attribute(value: float) -> str:
    """Return a number as the script reads it: an empty text for NaN, which sorts last."""
    if math.isnan(value):
        return ""
    return "1e999" if value == math.inf else "-1e999" if value == -math.inf else f"{value:.6g}"
