"""Render a template as one self-contained page: text, style, script and charts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from benchmarks.pages.table import Field

HERE = Path(__file__).parent


def html(template: Path, script: str = "", **values: Any) -> str:
    """Return a page as HTML, with all text escaped.

    Args:
        template: A file that extends `layout.html`.
        script: What the page needs beside the script of all pages.
        values: The variables of the template.
    """
    import jinja2
    from markupsafe import Markup

    from benchmarks.pages import svg

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, HERE]), autoescape=True, trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.globals |= {
        "svg": lambda chart: Markup(svg.draw(chart)),
        "sample": lambda *look: Markup(svg.sample(*look)),
        "by": lambda field: Markup(_by(field)),
        "number": attribute,
        "look": Markup((HERE / "look.css").read_text("utf-8")),
        "script": Markup((HERE / "look.js").read_text("utf-8") + script),
    }
    environment.filters["breakable"] = lambda name: Markup("_<wbr>").join(name.split("_"))
    return environment.get_template(template.name).render(**values)


def _by(field: Field) -> str:
    return "" if field.by is None else f' data-v="{attribute(field.by)}"'


def attribute(value: float) -> str:
    """Return a number as the script reads it: an empty text for NaN, which sorts last."""
    if math.isnan(value):
        return ""
    return "1e999" if value == math.inf else "-1e999" if value == -math.inf else f"{value:.6g}"
