"""Save the report's figures for a paper, as SVG and PDF; the bytes are reproducible."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Curve

from benchmarks.pages.chart import Chart, Series
from benchmarks.plots.style import COLOURS, LOOK, STYLES

SIZE = (3.4, 2.5)  # inches: a column is 3.5 wide
MARKERS = "os^DvPx*"
STABLE: dict[Any, Any] = {"svg.hashsalt": "ravine", "svg.fonttype": "path", "pdf.fonttype": 42}


def save(charts: Iterable[Chart], folder: Path) -> list[Path]:
    """Write NAME.svg and NAME.pdf for each chart into the folder, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for chart in charts:
        with mpl.rc_context({**LOOK, **STABLE}):
            figure = draw(chart)
            for kind, metadata in (("svg", {"Date": None}), ("pdf", {"CreationDate": None})):
                files.append(folder / f"{chart.name}.{kind}")
                figure.savefig(files[-1], metadata=metadata)
    return files


def draw(chart: Chart) -> Figure:
    """Return the chart as a figure as wide as a column."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    _land(axes, chart)
    for series in chart.series:
        _series(axes, series)
    for value, text in chart.rules:
        axes.axhline(value, color="0.3", linestyle=":", linewidth=1)
        axes.annotate(
            text, (1, value), xycoords=("axes fraction", "data"), xytext=(0, 2),
            textcoords="offset points", ha="right", fontsize=6.5,
        )  # fmt: skip
    for axis, along, scale, limits in (
        (chart.x, axes.xaxis, axes.set_xscale, axes.set_xlim),
        (chart.y, axes.yaxis, axes.set_yscale, axes.set_ylim),
    ):
        scale(axis.scale, **({"linthresh": axis.threshold} if axis.scale == "symlog" else {}))
        along.set_ticks(*zip(*axis.ticks, strict=True)) if axis.ticks else None
        along.set_ticks([], minor=True)
        along.set_label_text(axis.label)
        limits(axis.low, axis.high)
    axes.set_title(textwrap.fill(chart.subject, 52), loc="left")
    if chart.legend:
        handles = [Line2D([], [], label=name, **_look(each)) for name, each in chart.legend.items()]
        axes.legend(handles=handles, fontsize=6.5, handlelength=1.8)
    return figure


def _look(series: Series) -> dict[str, Any]:
    """Return how a line is drawn, in the figure and in its legend."""
    place = series.style
    colour = "black" if place is None else COLOURS[place % len(COLOURS)]
    if series.kind == "bars":
        return {"color": colour, "alpha": 0.4, "linewidth": 5}
    if series.kind in ("line", "steps"):
        line = "--" if series.dashed else STYLES[(place or 0) // len(COLOURS) % len(STYLES)]
        marker = None if series.dashed or place is None else MARKERS[place % len(MARKERS)]
        return {
            "color": colour,
            "linestyle": line,
            "linewidth": 1.2,
            "marker": marker,
            "markersize": 3.5,
        }
    size = {
        "squares": ("s", 3),
        "rings": ("o", 6),
        "dots": (MARKERS[(place or 0) % len(MARKERS)], 3),
    }
    marker, width = size[series.kind]
    face = "none" if series.kind == "rings" else colour
    return {
        "color": colour, "linestyle": "", "marker": marker, "markersize": width, "markerfacecolor": face,
    }  # fmt: skip


def _series(axes: Axes, series: Series) -> None:
    look = _look(series)
    if series.band is not None:
        axes.fill_between(
            series.x, *series.band, step="post", color=look["color"], alpha=0.13, linewidth=0
        )
    if series.kind == "bars":
        width = 0.9 * float(np.diff(series.x).min()) if len(series.x) > 1 else 0.8
        axes.bar(series.x, series.y, width, color=look["color"], alpha=look["alpha"])
        return
    if series.kind == "steps":
        look |= {"drawstyle": "steps-post"}
    if series.kind in ("line", "steps"):
        look |= {"markevery": [-1]}
    axes.plot(series.x, series.y, label=series.name, **look)


def _land(axes: Axes, chart: Chart) -> None:
    for level in chart.levels:
        if level.curves:
            shape = Curve.make_compound_path(*(Curve(each, closed=True) for each in level.curves))
            axes.add_patch(
                PathPatch(
                    shape, facecolor=(0, 0, 0, 0.045), edgecolor=(0, 0, 0, 0.25), linewidth=0.3
                )
            )
