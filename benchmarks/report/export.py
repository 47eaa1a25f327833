"""Save the report's figures for a paper, as SVG and PDF; the bytes are reproducible."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
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

COLUMN, HEIGHT = 3.4, 2.2  # inches, without the legend: a column is 3.5 wide
LINE = 0.15  # inches of a line of the legend
ACROSS = 3  # names beside each other in the legend of a column
PAGE, PANEL, PANELS = 7.0, 1.8, 3  # inches: width of a page, height of a panel; panels side by side
MARKERS = "os^DvPx*"
STABLE: dict[Any, Any] = {"svg.hashsalt": "ravine", "svg.fonttype": "path", "pdf.fonttype": 42}


def save(
    charts: Iterable[Chart], folder: Path, labels: Mapping[str, str] = MappingProxyType({})
) -> list[Path]:
    """Write NAME.svg and NAME.pdf for each chart, and for several problems `suite`; return the files.

    Args:
        charts: The charts of a page.
        folder: The folder, which is made.
        labels: The names of optimizers in legends, by their names in the sweep.
    """
    folder.mkdir(parents=True, exist_ok=True)
    charts = [_named(chart, labels) for chart in charts]
    panels = {
        chart.problem: chart for chart in charts if chart.problem
    }  # the last, which is the hardest
    files = []
    with mpl.rc_context({**LOOK, **STABLE}):
        for chart in charts:
            files += _written(draw(chart), folder / chart.name)
        if len(panels) > 1:
            files += _written(together([*panels.values()]), folder / "suite")
    return files


def _written(figure: Figure, name: Path) -> list[Path]:
    files = []
    for kind, metadata in (("svg", {"Date": None}), ("pdf", {"CreationDate": None})):
        files.append(name.with_name(f"{name.name}.{kind}"))
        figure.savefig(files[-1], metadata=metadata)
    return files


def _named(chart: Chart, labels: Mapping[str, str]) -> Chart:
    """Return a chart whose optimizers have these names."""

    def named(series: Series) -> Series:
        role = f", {series.role}" if series.role else ""
        bare = series.name.removesuffix(role)
        return replace(series, name=f"{labels[bare]}{role}") if bare in labels else series

    return replace(chart, series=tuple(map(named, chart.series)))


def draw(chart: Chart) -> Figure:
    """Return the chart as a figure as wide as a column."""
    handles = _handles(chart)
    height = HEIGHT + LINE * math.ceil(len(handles) / ACROSS)
    figure = Figure(figsize=(COLUMN, height), layout="constrained")
    axes = figure.subplots()
    _fill(axes, chart)
    axes.set_title(textwrap.fill(chart.subject, 52), loc="left")
    if handles:
        _legend(figure, handles, ACROSS)
    return figure


def together(charts: Sequence[Chart]) -> Figure:
    """Return charts as panels of one figure as wide as a page, with one legend."""
    across = min(PANELS, len(charts))
    down = math.ceil(len(charts) / across)
    figure = Figure(figsize=(PAGE, PANEL * down + 0.4), layout="constrained")
    handles: dict[str, Line2D] = {}
    places = figure.subplots(down, across, squeeze=False).ravel()
    for axes, chart in zip(places, charts, strict=False):
        _fill(axes, chart)
        axes.set_title(chart.subject, loc="left", fontsize=6.5)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_tick_params(labelsize=6)
            axis.label.set_fontsize(6.5)
        handles |= _handles(chart)
    for axes in places[len(charts) :]:
        axes.remove()
    _legend(figure, handles, ACROSS + 1)
    return figure


def _legend(figure: Figure, handles: Mapping[str, Line2D], across: int) -> None:
    """Put a legend below the axes, where it hides no line."""
    figure.legend(
        handles=[*handles.values()], loc="outside lower center", ncols=across, fontsize=6.5, handlelength=1.8
    )  # fmt: skip


def _handles(chart: Chart) -> dict[str, Line2D]:
    """Return what the legend of a chart shows, by name."""
    return {name: Line2D([], [], label=name, **_look(each)) for name, each in chart.legend.items()}


def _fill(axes: Axes, chart: Chart) -> None:
    """Draw a chart without its title and legend."""
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
