"""Draw charts as small SVGs in the page's colours, whose values can be read off.

The page's script computes the values from the positions of the points, so that no number is stored twice.
"""

from __future__ import annotations

import html
from collections.abc import Iterator

import numpy as np

from benchmarks.pages.chart import Axis, Chart, Kind, Series

WIDTH, HEIGHT = 320, 216
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 8, 36
ACROSS, UP = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
COLOURS = 8  # then they repeat with another line style; the style sheet has both
FAR = 50  # frame widths: points farther outside are drawn there
SHAPES = (  # by optimizer, for readers who do not tell the colours apart
    "M-3,0a3,3 0 1,0 6,0a3,3 0 1,0-6,0z", "M-3-3H3V3H-3z", "M0-4L3.6,2.6H-3.6z", "M0-4L4,0L0,4L-4,0z",
    "M0,4L3.6-2.6H-3.6z", "M-1.2-4H1.2V-1.2H4V1.2H1.2V4H-1.2V1.2H-4V-1.2H-1.2z",
    "M-4-2.6L-2.6-4L0-1.4L2.6-4L4-2.6L1.4,0L4,2.6L2.6,4L0,1.4L-2.6,4L-4,2.6L-1.4,0z",
    "M0-4.2L4-1.3L2.5,3.4H-2.5L-4-1.3z",
)  # fmt: skip
RING = "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0-10,0z"
DOT = "M-2,0a2,2 0 1,0 4,0a2,2 0 1,0-4,0z"
SQUARE = "M-2.6-2.6H2.6V2.6H-2.6z"
MARKS: dict[str, str] = {"dots": DOT, "squares": SQUARE, "rings": RING}


def draw(chart: Chart) -> str:
    """Return the chart as an `svg` element."""
    return "".join(_parts(chart))


def sample(style: int | None, kind: Kind = "line", dashed: bool = False) -> str:
    """Return a sample of a series, for a legend."""
    look = "ink" if style is None else f"c{style % COLOURS} t{style // COLOURS % 3}"
    line = '<path class="p" d="M0,6H26"/>'
    if kind in MARKS:
        drawn = _mark(MARKS[kind], 13, 6, " no" if kind == "rings" else "")
    elif dashed or style is None:
        drawn = line
    else:
        drawn = line + _mark(SHAPES[style % len(SHAPES)], 13, 6)
    return (
        f'<svg class="sample" viewBox="0 0 26 12" aria-hidden="true">'
        f'<g class="{look}{" said" if dashed else ""}">{drawn}</g></svg>'
    )


def _parts(chart: Chart) -> Iterator[str]:
    x, y = (_scale(axis) for axis in (chart.x, chart.y))
    label = html.escape(f"{chart.title}. {chart.note}", quote=True)
    yield (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" tabindex="0" aria-label="{label}" '
        f'data-x="{x}" data-y="{y}" data-xl="{html.escape(chart.x.label, quote=True)}"{_named(chart.x)}>'
    )
    if chart.levels:
        yield f'<svg x="{LEFT}" y="{TOP}" width="{ACROSS}" height="{UP}" class="land">'
        for level in chart.levels:
            curves = (_closed(chart, curve) for curve in level.curves)
            yield f'<path d="{"".join(curves)}"/>'
        yield "</svg>"
    yield f'<path class="axis" d="M{LEFT},{TOP}V{TOP + UP}H{LEFT + ACROSS}"/>'
    for value, text in chart.x.ticks:
        at = LEFT + ACROSS * float(chart.x.place(value))
        yield f'<path class="axis" d="M{at:.1f},{TOP + UP}v3"/>'
        yield f'<text x="{at:.1f}" y="{TOP + UP + 14}" class="m">{html.escape(text)}</text>'
    for value, text in chart.y.ticks:
        at = TOP + UP * (1 - float(chart.y.place(value)))
        if not chart.levels:
            yield f'<path class="grid" d="M{LEFT},{at:.1f}h{ACROSS}"/>'
        yield f'<text x="{LEFT - 5}" y="{at + 3.5:.1f}" class="e">{html.escape(text)}</text>'
    middle = LEFT + ACROSS / 2
    yield f'<text x="{middle:g}" y="{HEIGHT - 5}" class="m l">{html.escape(chart.x.label)}</text>'
    yield (
        f'<text transform="translate(10 {TOP + UP / 2:g})rotate(-90)" class="m l">'
        f"{html.escape(chart.y.label)}</text>"
    )
    for value, text in chart.rules:
        at = TOP + UP * (1 - float(chart.y.place(value)))
        if TOP <= at <= TOP + UP:
            yield f'<path class="rule" d="M{LEFT},{at:.1f}h{ACROSS}"/>'
            yield f'<text x="{LEFT + ACROSS}" y="{at - 3:.1f}" class="e">{html.escape(text)}</text>'
    for value, text in chart.marks:
        at = LEFT + ACROSS * float(chart.x.place(value))
        yield f'<path class="rule" d="M{at:.1f},{TOP}v{UP}"/>'
        side, away = ("e", -4) if at > middle else ("", 4)
        yield f'<text x="{at + away:.1f}" y="{TOP + UP - 5}" class="{side}">{html.escape(text)}</text>'
    yield f'<svg x="{LEFT}" y="{TOP}" width="{ACROSS}" height="{UP}" class="in">'
    for series in chart.series:
        yield from _series(chart, series)
    yield "</svg></svg>"


def _series(chart: Chart, series: Series) -> Iterator[str]:
    style = series.style
    look = "ink" if style is None else f"c{style % COLOURS} t{style // COLOURS % 3}"
    mine = "" if style is None or chart.own else f' data-o="{style}"'
    name = html.escape(series.name, quote=True)
    x, y = _pixels(chart, series.x, series.y)
    yield f'<g class="{look}{" said" if series.dashed else ""}"{mine} data-n="{name}">'
    if series.band is not None:
        low, high = (_pixels(chart, series.x, edge)[1] for edge in series.band)
        there = np.isfinite(low) & np.isfinite(high)
        if there.sum() > 1:
            forth = _line(x[there], low[there], True)
            yield f'<path class="band" d="{forth}{_back(x[there], high[there])}z"/>'
    there = np.isfinite(x) & np.isfinite(y)
    x, y = x[there], y[there]
    if series.kind in ("line", "steps"):
        yield f'<path class="p" d="{_line(x, y, series.kind == "steps")}"/>'
        if len(x) and style is not None and not series.dashed:
            yield _mark(SHAPES[style % len(SHAPES)], x[-1], y[-1])
    elif series.kind == "bars":
        half = 0.45 * float(np.diff(np.unique(x)).min()) if len(np.unique(x)) > 1 else 6.0
        yield '<path class="bars" d="'
        yield "".join(
            f"M{_n(a - half)},{UP}V{_n(b)}H{_n(a + half)}V{UP}z" for a, b in zip(x, y, strict=True)
        )
        yield f'"/><path class="p no" d="{_line(x, y, False)}"/>'
    else:
        shape = MARKS[series.kind]
        yield "".join(
            _mark(shape, a, b, " no" if series.kind == "rings" else "")
            for a, b in zip(x, y, strict=True)
        )
        yield f'<path class="p no" d="{_line(x, y, False)}"/>'
    yield "</g>"


def _named(axis: Axis) -> str:
    """Return the attribute with an axis's names for numbers, as in 1=tuned|2=default; empty without names."""
    names = "|".join(f"{value:g}={text}" for value, text in axis.given)
    return f' data-xt="{html.escape(names, quote=True)}"' if names else ""


def _scale(axis: Axis) -> str:
    """Return an axis for the script: kind, ends in the bent scale, threshold."""
    low, high = axis.bent(np.array([axis.low, axis.high]))
    return f"{axis.scale},{low:.6g},{high:.6g},{axis.threshold:.6g}"


def _pixels(chart: Chart, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions in the frame; points beyond its edge lie outside, where the script can still read them."""
    left = ACROSS * np.clip(chart.x.place(x), -FAR, FAR)
    return left, UP * (1 - np.clip(chart.y.place(y), -FAR, FAR))


def _line(x: np.ndarray, y: np.ndarray, steps: bool) -> str:
    if not len(x):
        return ""
    parts = [f"M{_n(x[0])},{_n(y[0])}"]
    for a, b in zip(x[1:], y[1:], strict=True):
        parts.append(f"H{_n(a)}V{_n(b)}" if steps else f"L{_n(a)},{_n(b)}")
    return "".join(parts)


def _back(x: np.ndarray, y: np.ndarray) -> str:
    """Return the steps of `_line` in reverse, to continue a path."""
    corners = (f"V{_n(b)}H{_n(a)}" for a, b in zip(x[-2::-1], y[-2::-1], strict=True))
    return f"V{_n(y[-1])}" + "".join(corners)


def _closed(chart: Chart, curve: np.ndarray) -> str:
    return f"{_line(*_pixels(chart, curve[:, 0], curve[:, 1]), False)}z"


def _mark(shape: str, x: float, y: float, extra: str = "") -> str:
    return f'<path class="k{extra}" transform="translate({_n(x)} {_n(y)})" d="{shape}"/>'


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
