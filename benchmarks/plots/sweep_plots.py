"""Draw figures of a sweep, without pyplot: gap by cost, success by learning rate, and paths over a plane."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks.analysis.tables import Tables
from benchmarks.display.numbers_as_text import plain
from benchmarks.engine.instances import Instances
from benchmarks.engine.protocol import FIRST_REPORTING_SEED, Settled, stream
from benchmarks.engine.status import DIVERGED, MISSED, SOLVED
from benchmarks.engine.trial_choice import choose
from benchmarks.plots.contours import GRID, contours, height_bar, window
from benchmarks.plots.style import LOOK, Picture, Style
from problems import PROBLEMS, Problem
from ravine import Refused, nearest

WIDTH = 8.0  # inches, at 100 pixels per inch
BEYOND = 1e60  # drawn instead of the gap of a diverged run: it leaves the panel at the top


@dataclass(frozen=True)
class Entry:
    """One optimizer in a panel: its runs, its tuned trial, and the traces of that trial."""

    optimizer: str
    style: Style
    runs: pandas.DataFrame
    traces: pandas.DataFrame
    tuned: int

    @property
    def reporting(self) -> pandas.DataFrame:
        """Return the reporting runs of all trials."""
        return self.runs[self.runs["role"] == "reporting"]


@dataclass(frozen=True)
class Panel:
    """One problem at one rung."""

    problem: Problem
    title: str
    size: Settled
    entries: list[Entry]

    @property
    def logarithmic(self) -> bool:
        """True if gaps are never negative; a gap to a level other than the minimum may be."""
        return self.problem.card.floor_is_minimum

    @property
    def target(self) -> float | None:
        """Return the gap at which a run is solved; None if the problem has its own test."""
        return None if self.problem.has_own("solved") else self.problem.card.target


def draw(kind: str, tables: Tables) -> Figure:
    """Return a figure of a sweep.

    Args:
        kind: "convergence" (gap by cost), "sensitivity" (success by learning rate) or "trajectories" (paths
            of two-dimensional problems).
        tables: The tables of the sweep.

    Returns:
        The figure.

    Raises:
        Refused: If the kind is unknown, or there is nothing to draw.
    """
    if kind not in KINDS:
        raise Refused(f"unknown figure {kind!r}: {nearest(str(kind), KINDS)}")
    panels = _panels(tables)
    if not panels:
        raise Refused("there is nothing to draw: every cell ended in an error")
    with mpl.rc_context(LOOK):
        return KINDS[kind](panels)


def _panels(tables: Tables) -> list[Panel]:
    """Return the panels of a sweep: problems in the sweep's order, each by rising dial."""
    names = list(dict.fromkeys(cell.info.optimizer for cell in tables.cells.values()))
    styles = {name: Style(place) for place, name in enumerate(names)}
    found: dict[tuple[str, str], Panel] = {}
    for key, cell in tables.cells.items():
        info = cell.info
        if info.error:
            continue
        problem = tables.problems[key].at_dial(info.dial)
        panel = found.setdefault(
            (info.problem, repr(problem)),
            Panel(problem, _title(info.problem, problem), info.protocol, []),
        )
        runs, traces = (frame[frame["cell"] == key] for frame in (tables.runs, tables.traces))
        tuned = choose(runs)["tuned"]
        traces = traces[traces["trial"] == tuned]
        panel.entries.append(Entry(info.optimizer, styles[info.optimizer], runs, traces, tuned))
    order = list(dict.fromkeys(name for name, _ in found))
    return [
        found[at]
        for at in sorted(found, key=lambda at: (order.index(at[0]), found[at].problem.dial))
    ]


def _title(name: str, problem: Problem) -> str:
    """Return the problem's name, its dial, and the other fields that differ from the registered problem."""
    usual = PROBLEMS[name].settings if name in PROBLEMS else {}
    settings = problem.settings
    dial = problem.dial_column
    unusual = [each for each in settings if each != dial and settings[each] != usual.get(each)]
    said = [
        dial,
        *(each for each in unusual if name in PROBLEMS or not each.startswith("problem.")),
    ]
    return ", ".join(
        [name, *(f"{each.removeprefix('problem.')} {plain(settings[each])}" for each in said)]
    )


def _broken(title: str, width: int) -> str:
    """Break a title into lines, but not between a field and its value."""
    return textwrap.fill(
        title.replace(" ", "\N{NO-BREAK SPACE}").replace(",\N{NO-BREAK SPACE}", ", "), width
    )


def _shown(panels: Sequence[Panel], limit: int) -> tuple[list[Panel], str]:
    """Return at most `limit` panels, spread from the first to the last, and a remark if some are left out.

    Panels with the most optimizers are preferred: bisected dials differ, and only the ladder's rungs have all.
    """
    if len(panels) <= limit:
        return list(panels), ""
    fullest = sorted(range(len(panels)), key=lambda at: -len(panels[at].entries))
    most = [at for at in fullest if len(panels[at].entries) == len(panels[fullest[0]].entries)]
    if len(most) > limit:
        fullest = [most[round(at)] for at in np.linspace(0, len(most) - 1, limit)]
    remark = f" Shown are {limit} of {len(panels)} panels."
    return [panels[at] for at in sorted(fullest[:limit])], remark


def _grid(panels: Sequence[Panel], columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with axes for each panel, `height` inches high, and the panels' titles."""
    rows = math.ceil(len(panels) / columns)
    figure = Picture(figsize=(WIDTH, 1.4 + height * rows), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[len(panels) :]:
        axes.remove()
    for axes, panel in zip(grid, panels, strict=False):
        axes.set_title(_broken(panel.title, 100 // columns), loc="left")
    return figure, grid[: len(panels)]


def _styles(panels: Sequence[Panel]) -> dict[str, Style]:
    """Return the optimizers of the legend and their styles, in the sweep's order."""
    used = {entry.optimizer: entry.style for panel in panels for entry in panel.entries}
    return dict(sorted(used.items(), key=lambda item: item[1].place))


def _legend(figure: FigureBase, handles: Sequence[Line2D]) -> None:
    """Add a legend below all panels, in as many columns as fit."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=max(1, min(5, 130 // (longest + 7)))
    )


def _lines(panels: Sequence[Panel]) -> list[Line2D]:
    return [
        Line2D([], [], color=style.colour, linestyle=style.line, label=_short(name))
        for name, style in _styles(panels).items()
    ]


def _short(name: str) -> str:
    return textwrap.shorten(name, 70, placeholder=" …")


def _caption(figure: FigureBase, text: str) -> None:
    figure.suptitle(
        "\n".join(textwrap.fill(line, 120) for line in text.splitlines()), fontsize=9, color="0.3"
    )


def _dotted(panels: Sequence[Panel]) -> str:
    return " Dotted: the target." if any(panel.target is not None for panel in panels) else ""


# Gap by cost.


def _convergence(panels: Sequence[Panel]) -> Figure:
    panels, remark = _shown(panels, 6)
    columns = len(panels) if len(panels) <= 3 else 2 if len(panels) == 4 else 3
    figure, grid = _grid(panels, columns, height=3.6 if columns == 1 else 2.5)
    for at, (axes, panel) in enumerate(zip(grid, panels, strict=True)):
        _converge(axes, panel)
        axes.set_xlabel("cost in gradient-equivalents" if at + columns >= len(panels) else "")
        axes.set_ylabel("relative gap" if at % columns == 0 else "")
    _caption(
        figure,
        "Tuned settings on the reporting instances: median and interquartile band."
        f"{_dotted(panels)}{remark}",
    )
    _legend(figure, _lines(panels))
    return figure


def _converge(axes: Axes, panel: Panel) -> None:
    middles = []
    faint = 0.15 if len(panel.entries) <= 5 else 0.06
    for entry in panel.entries:
        tuned = entry.reporting[entry.reporting["trial"] == entry.tuned]
        cost, low, middle, high = quartiles(entry.traces, tuned.set_index("seed")["status"])
        middles.append(middle)
        axes.fill_between(
            cost, low, high, step="post", color=entry.style.colour, alpha=faint, linewidth=0
        )
        axes.plot(
            cost, middle, drawstyle="steps-post", color=entry.style.colour, linestyle=entry.style.line,
            marker="o", markersize=3.5, markevery=[-1], label=entry.optimizer,
        )  # fmt: skip
    _scale_gaps(axes, panel, np.concatenate(middles))
    if panel.target is not None:
        axes.axhline(panel.target, color="0.3", linestyle=":", linewidth=1, label="target")
    budget = panel.size.budget
    axes.set_xlim(0, 1.02 * budget)
    if budget > 100:
        axes.set_xscale("symlog", linthresh=10, linscale=0.5)
        decades = [10.0**power for power in range(1, math.ceil(math.log10(budget / 2)))]
        axes.set_xticks([0, *decades, budget], [f"{tick:g}" for tick in (0, *decades, budget)])


def quartiles(
    traces: pandas.DataFrame, status: pandas.Series
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the costs, and the quartiles of the runs' gaps there (low, median, high).

    traces: the traces of one trial; status: the status of its runs, by seed.
    """
    grid = np.unique(traces["cost"])
    gaps = []
    for seed, trace in traces.groupby("seed"):
        cost, gap = (trace[name].to_numpy(dtype=float) for name in ("cost", "gap"))
        if status[seed] == DIVERGED:
            gap[-1] = BEYOND
        gap = np.minimum(gap, BEYOND)  # infinite ones would make the quartiles NaN
        gaps.append(gap[np.searchsorted(cost, grid, side="right") - 1])
    low, middle, high = np.quantile(gaps, [0.25, 0.5, 0.75], axis=0)
    return grid, low, middle, high


def _scale_gaps(axes: Axes, panel: Panel, gaps: np.ndarray) -> None:
    """Set the gap axis from below the target to above the start; larger and smaller gaps leave the panel."""
    if panel.logarithmic:
        target = panel.problem.card.target
        axes.set_yscale("log")
        axes.set_ylim(
            np.clip(gaps.min() / 3, target / 100, target / 3),
            3 * max(1, gaps[gaps < 1e3].max(initial=1)),
        )
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_minor_locator(NullLocator())


# Success by learning rate.


def _sensitivity(panels: Sequence[Panel]) -> Figure:
    rated = {
        id(panel): [
            entry for entry in panel.entries if "u" in entry.runs and entry.runs["u"].notna().any()
        ]
        for panel in panels
    }
    names = list(_styles(panels))
    with_rate = {entry.optimizer for entries in rated.values() for entry in entries}
    if not with_rate:
        raise Refused(f"none of these optimizers has a learning rate: {', '.join(names)}")
    high = math.ceil(max(map(len, rated.values())) / 5)
    panels, remark = _shown([panel for panel in panels if rated[id(panel)]], max(1, 6 // high))
    rows = [math.ceil(len(rated[id(panel)]) / 5) for panel in panels]
    figure = Picture(figsize=(WIDTH, 1.3 + 2.6 * sum(rows)), layout="constrained")
    parts = figure.subfigures(len(panels), 1, height_ratios=rows, squeeze=False).flat
    for part, panel, count in zip(parts, panels, rows, strict=True):
        part.suptitle(panel.title, x=0.01, ha="left", fontsize=9)
        _rate(part, panel, rated[id(panel)], count)
    without = [name for name in names if name not in with_rate]
    left_out = f" Left out, without a learning rate: {', '.join(without)}." if without else ""
    _caption(
        figure,
        "Each point is a trial on the reporting instances; a point on the upper or lower edge lies beyond it. "
        f"Learning rates are in the problem's unit.{left_out}{remark}",
    )
    _legend(figure, [
        Line2D([], [], linestyle="", color="0.3", label=label, **_MARKS[mark]) for mark, label in
        (("sobol", "searched"), ("refined", "refined"), ("default", "defaults"), ("tuned", "tuned"))
    ])  # fmt: skip
    return figure


_MARKS: dict[str, dict[str, Any]] = {
    "sobol": {"marker": "o", "markersize": 4.5},
    "refined": {"marker": "o", "markersize": 4.5, "markerfacecolor": "white"},
    "default": {"marker": "s", "markersize": 4.5},
    "tuned": {"marker": "o", "markersize": 9, "markerfacecolor": "none"},
}


def _rate(part: FigureBase, panel: Panel, entries: Sequence[Entry], rows: int) -> None:
    """Draw, for each optimizer, the solved share and below it the median final gap, by learning rate."""
    columns = math.ceil(len(entries) / rows)
    grid = part.subplots(
        2 * rows, columns, sharex=True, sharey="row", height_ratios=[1, 2] * rows, squeeze=False
    )
    trials = [_trials(entry) for entry in entries]
    gaps = np.concatenate([each["gap"] for each in trials])
    for at, (entry, each) in enumerate(zip(entries, trials, strict=True)):
        row, column = divmod(at, columns)
        share, gap = grid[2 * row : 2 * row + 2, column]
        share.set_title(textwrap.fill(entry.optimizer, 110 // columns))
        share.set_ylim(-0.1, 1.1)
        share.set_yticks([0, 0.5, 1], ["0", "½", "1"])
        share.set_xscale("log")
        share.xaxis.set_major_locator(LogLocator(numticks=4))
        share.xaxis.set_minor_locator(NullLocator())
        _scale_gaps(gap, panel, gaps)
        low, high = gap.get_ylim()
        for mark, some in [*each.groupby("search"), ("tuned", each.loc[[entry.tuned]])]:
            for axes, values in ((share, some["share"]), (gap, some["gap"].clip(low, high))):
                look = {"color": entry.style.colour, **_MARKS[str(mark)]}
                axes.plot(some["u"], values, linestyle="", clip_on=False, zorder=3, **look)
        if panel.target is not None:
            gap.axhline(panel.target, color="0.3", linestyle=":", linewidth=1)
        if column == 0:
            share.set_ylabel("solved")
            gap.set_ylabel("final gap")
        if at + columns >= len(entries):
            gap.set_xlabel("learning rate u")
            gap.tick_params(labelbottom=True)
    for axes in grid.flat:
        if not axes.lines:
            axes.remove()


def _trials(entry: Entry) -> pandas.DataFrame:
    """Return, by trial: learning rate, kind of search, and solved share and median gap of its reporting runs."""
    runs = entry.reporting
    gap = runs["gap_final"].where(runs["status"] != DIVERGED, math.inf)
    by_trial = runs.assign(gap=gap, share=runs["status"] == SOLVED).groupby("trial")
    return by_trial.agg(
        u=("u", "first"), search=("search", "first"), share=("share", "mean"), gap=("gap", "median")
    )


# Paths over a plane.


def _trajectories(panels: Sequence[Panel]) -> Figure:
    flat = [
        panel for panel in panels if {"x.0", "x.1"} <= _kept(panel) and "x.2" not in _kept(panel)
    ]
    if not flat:
        given = "; ".join(dict.fromkeys(panel.title for panel in panels))
        raise Refused(
            f"paths are drawn only for problems of two dimensions, not for {given}: {_planes()}"
        )
    others = len(panels) - len(flat)
    left_out = f" Panels of other dimensions left out: {others}." if others else ""
    flat, remark = _shown(flat, 4)
    columns = min(len(flat), 2)
    figure, grid = _grid(flat, columns, height=4.7 if columns == 1 else 3.5)
    for axes, panel in zip(grid, flat, strict=True):
        _plane(axes, panel)
    _caption(
        figure,
        "Tuned settings on the first reporting instance: recorded steps, over contours of the relative gap."
        f"{_dotted(flat)}{left_out}{remark}\n■ start   ★ solved   ● missed   ✖ diverged",
    )
    _legend(figure, _lines(flat))
    return figure


_ENDS: dict[str, dict[str, Any]] = {
    "start": {"marker": "s", "markersize": 7},
    SOLVED: {"marker": "*", "markersize": 11},
    MISSED: {"marker": "o", "markersize": 6},
    DIVERGED: {"marker": "X", "markersize": 7},
}


def _kept(panel: Panel) -> set[str]:
    """Return the columns of a panel's traces that have any value."""
    return {
        str(name)
        for entry in panel.entries
        for name in entry.traces
        if entry.traces[name].notna().any()
    }


def _planes() -> str:
    """Return the registered problems with two dimensions, found by setting their whole numbers to 1 or 2."""
    found = []
    for name, prototype in PROBLEMS.items():
        fields = dataclasses.fields(prototype)  # type: ignore[arg-type]
        whole = [each.name for each in fields if type(getattr(prototype, each.name)) is int]
        for values in ({}, *({field: value} for field in whole for value in (1, 2))):
            try:
                flat = Instances(dataclasses.replace(prototype, **values), (stream(0),))  # type: ignore[type-var]
            except (ValueError, RuntimeError):  # not a value of that field
                continue
            if flat.data["start"].shape[-1] == 2:
                with_values = "".join(f" with {field}={value}" for field, value in values.items())
                found.append(name + with_values)
                break
    return f"try {', '.join(found)}"


def _plane(axes: Axes, panel: Panel) -> None:
    """Draw the paths of one panel over the contours of its loss."""
    seed = min(seed for seed in panel.size.seed_numbers if seed >= FIRST_REPORTING_SEED)
    paths = [_path(entry, seed) for entry in panel.entries]
    instance = Instances(panel.problem, (stream(seed),), panel.size.torch_dtype)
    _contours(axes, panel, instance, *window(paths))
    axes.set_xlabel("x₀")
    axes.set_ylabel("x₁")
    halo = [Stroke(linewidth=3, foreground="white"), Normal()]
    for entry, (points, status) in zip(panel.entries, paths, strict=True):
        style = {"color": entry.style.colour, "linestyle": entry.style.line}
        axes.plot(
            *points.T, marker=".", markersize=4, path_effects=halo, label=entry.optimizer, **style
        )
        end = {
            "color": entry.style.colour,
            "markeredgecolor": "white",
            **_ENDS.get(status, _ENDS[MISSED]),
        }
        axes.plot(*points[-1:].T, zorder=4, **end)
    start = {"color": "black", "markeredgecolor": "white", **_ENDS["start"]}
    axes.plot(*paths[0][0][:1].T, zorder=5, **start)


def _path(entry: Entry, seed: int) -> tuple[np.ndarray, str]:
    """Return the path (points, 2) of the tuned run on an instance, and its status."""
    runs = entry.reporting
    status = runs.loc[(runs["trial"] == entry.tuned) & (runs["seed"] == seed), "status"].iloc[0]
    points = entry.traces.loc[entry.traces["seed"] == seed, ["x.0", "x.1"]].to_numpy(dtype=float)
    return points[np.isfinite(points).all(axis=1)], str(status)


def _contours(
    axes: Axes, panel: Panel, instance: Instances, low: np.ndarray, high: np.ndarray
) -> None:
    """Draw contours of the gap, evaluated in one call."""
    problem, data = panel.problem, instance.data
    sides = [np.linspace(low[axis], high[axis], GRID) for axis in (0, 1)]
    across, up = np.meshgrid(*sides)
    points = torch.tensor(
        np.stack([across, up], axis=-1).reshape(1, -1, 2), dtype=panel.size.torch_dtype
    )
    floor = problem.floor(data)
    gap = (problem.loss(points, data) - floor) / (problem.loss(data["start"], data) - floor)
    drawn = contours(axes, sides, gap.numpy().reshape(GRID, GRID), panel.logarithmic, panel.target)
    height_bar(drawn, [axes], panel.logarithmic)


KINDS: Mapping[str, Callable[[Sequence[Panel]], Figure]] = {
    "convergence": _convergence,
    "sensitivity": _sensitivity,
    "trajectories": _trajectories,
}
