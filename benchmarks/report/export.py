"""Save the report's figures for a paper, as SVG and PDF; the bytes are reproducible."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
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
        _series(axes, chart, series)
    for value, text in chart.rules:
        axes.axhline(value, color="0.3", linestyle=":", linewidth=1, label=text)
    for axis, along, scale, limits in (
        (chart.x, axes.xaxis, axes.set_xscale, axes.set_xlim),
        (chart.y, axes.yaxis, axes.set_yscale, axes.set_ylim),
    ):
        scale(axis.scale, **({"linthresh": axis.threshold} if axis.scale == "symlog" else {}))
        along.set_ticks(*zip(*axis.ticks, strict=True)) if axis.ticks else None
        along.set_ticks([], minor=True)
        along.set_label_text(axis.label)
        limits(axis.low, axis.high)
    axes.set_title(chart.title, loc="left")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=6.5, handlelength=1.8)
    return figure


def _series(axes: Axes, chart: Chart, series: Series) -> None:
    place = series.style
    colour = "black" if place is None else COLOURS[place % len(COLOURS)]
    marker = "s" if place is None else MARKERS[place % len(MARKERS)]
    line = "--" if series.dashed else STYLES[(place or 0) // len(COLOURS) % len(STYLES)]
    named = {"label": series.name or None, "color": colour}
    if series.band is not None:
        axes.fill_between(
            series.x, *series.band, step="post", color=colour, alpha=0.13, linewidth=0
        )
    if series.kind == "bars":
        width = 0.9 * float(np.diff(series.x).min()) if len(series.x) > 1 else 0.8
        axes.bar(series.x, series.y, width, alpha=0.4, **named)
    elif series.kind in ("line", "steps"):
        axes.plot(
            series.x, series.y, linestyle=line, linewidth=1.2, markevery=[-1], markersize=3.5,
            drawstyle="steps-post" if series.kind == "steps" else "default",
            marker=None if series.dashed else marker, **named,
        )  # fmt: skip
    else:
        face = "none" if series.kind == "rings" else colour
        marker = {"squares": "s", "rings": "o"}.get(series.kind, marker)
        size = 6 if series.kind == "rings" else 3
        axes.plot(
            series.x,
            series.y,
            linestyle="",
            markersize=size,
            marker=marker,
            color=colour,
            markerfacecolor=face,
        )


def _land(axes: Axes, chart: Chart) -> None:
    for level in chart.levels:
        if level.curves:
            shape = Curve.make_compound_path(*(Curve(each, closed=True) for each in level.curves))
            axes.add_patch(
                PathPatch(
                    shape, facecolor=(0, 0, 0, 0.045), edgecolor=(0, 0, 0, 0.25), linewidth=0.3
                )
            )
