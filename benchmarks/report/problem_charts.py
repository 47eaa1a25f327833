"""The report's charts: from the tables, and the landscape of a problem if it is registered."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas
import torch
from contourpy import FillType, contour_generator
from matplotlib.path import Path

from benchmarks.analysis.dial_axis import BreakingPoint
from benchmarks.analysis.success import sensitivity
from benchmarks.display.numbers_as_text import as_words
from benchmarks.engine.instances import Instances
from benchmarks.engine.protocol import FIRST_REPORTING_SEED, stream
from benchmarks.engine.recorder import MEASURED_AT
from benchmarks.pages.chart import Axis, Chart, Level, Series, spanning
from benchmarks.plots import contours, sweep_plots
from benchmarks.plots.problem_picture import View, places
from problems import Curves, Problem
from problems.precision import default_dtype

POINTS = 64  # of a line, at most
GRID = 96  # points per side of a landscape
PIXELS = 300  # width of a landscape when its curves are simplified


@dataclass(frozen=True)
class Rung:
    """One problem at one dial value: the runs and the traces of the tuned trials of its optimizers.

    title: the dial and its value. subject: the same with the problem's name.
    styles: each optimizer's place on the page.
    problem: None if it is not registered here.
    """

    slug: str
    label: str
    title: str
    subject: str
    dial: float
    runs: pandas.DataFrame
    traces: pandas.DataFrame
    tuned: Mapping[str, int]
    styles: Mapping[str, int]
    problem: Problem | None

    @property
    def optimizers(self) -> list[str]:
        """The optimizers with numbers here, in the order of the page."""
        return sorted(self.tuned, key=lambda name: self.styles[name])

    @property
    def budget(self) -> float:
        """The largest budget of a run."""
        return float(self.runs["budget"].max())

    @property
    def target(self) -> float | None:
        """The gap at which a run is solved; None if the problem is unknown or has its own test."""
        if self.problem is None or self.problem.has_own("solved"):
            return None
        return self.problem.card.target

    def of(self, optimizer: str) -> pandas.DataFrame:
        """Return the traces of the tuned trial."""
        return self.traces[self.traces["optimizer"] == optimizer]

    def ends(self, optimizer: str) -> pandas.DataFrame:
        """Return the reporting runs of the tuned trial."""
        mine = self.runs[(self.runs["optimizer"] == optimizer) & (self.runs["role"] == "reporting")]
        return mine[mine["trial"] == self.tuned[optimizer]]


def frontier(
    name: str, title: str, dial: str, points: pandas.DataFrame, styles: Mapping[str, int],
    scale: str, falling: bool, runs: pandas.DataFrame,
) -> Chart:  # fmt: skip
    """Return the chart of breaking point by budget, over the whole ladder; theory is dashed.

    points: the tuned breaking points of one problem; runs: its runs.
    """
    budget = float(runs["budget"].max())
    y = spanning(dial, "log" if scale == "log" else "linear", [runs["dial"].to_numpy(dtype=float)])
    if falling:
        y = Axis(y.label, y.scale, y.high, y.low)
    shares = sorted(points["budget"].unique())
    costs = np.array([budget * share for share in shares])
    x = Axis(
        "budget", "log", costs[0] / 1.25, costs[-1] * 1.25,
        given=tuple((cost, _fraction(share)) for cost, share in zip(costs, shares, strict=True)),
    )  # fmt: skip
    series, said = [], []
    for optimizer, rows in points.groupby("optimizer", sort=False):
        rows = rows.sort_values("budget")
        at = rows["budget"].to_numpy(dtype=float) * budget
        style = styles[str(optimizer)]
        theory = rows["theory"].to_numpy(dtype=float) if "theory" in rows else np.array([np.nan])
        if np.isfinite(theory).any():
            series.append(
                Series(f"{optimizer}, theory", at, theory, style, dashed=True, role="theory")
            )
        broken = [BreakingPoint.of(row) for row in rows.to_dict("records")]
        series.append(
            Series(
                str(optimizer),
                at,
                np.array([math.nan if each.unjudged else each.value for each in broken]),
                style,
            )
        )
        said.append(f"{optimizer} {rows['text'].iloc[-1]}")
    note = f"Breaking point by budget. At the whole budget: {'; '.join(said)}."
    return Chart(f"{name}-frontier", title, note, x, y, tuple(series), subject=title)


def _fraction(share: float) -> str:
    return "B" if share == 1 else f"B/{1 / share:.0f}"


def convergence(rung: Rung) -> Chart:
    """Return the chart of gap by cost: the median, with a band between the quartiles."""
    series, middles, said = [], [], []
    for place, optimizer in enumerate(rung.optimizers):
        traces = rung.of(optimizer)
        if traces.empty:
            continue
        status = rung.ends(optimizer).set_index("seed")["status"]
        cost, low, middle, high = _thinned(*sweep_plots.quartiles(traces, status))
        middles.append(middle)
        band = (low, high) if len(rung.optimizers) <= 6 or place < 6 else None
        series.append(Series(optimizer, cost, middle, rung.styles[optimizer], "steps", band))
        said.append(f"{optimizer} ends at {_shown(middle[-1])}")
    every = np.concatenate(middles) if middles else np.ones(1)
    positive = (every > 0).all() or (rung.problem and rung.problem.card.floor_is_minimum)
    target = rung.target
    if positive:
        inside = every[(every > 0) & (every < 1e3)]
        low = min([*inside, target or 1.0]) / 3
        low = max(low, (target or 1e-8) / 100)
        y = Axis("relative gap", "log", low, 3 * max(1.0, *inside))
    else:
        y = spanning("relative gap", "linear", [every[np.abs(every) < 1e3]])
    x = Axis("cost, in gradients", "symlog", 0, rung.budget, threshold=3.0)
    rules = ((target, "target"),) if target is not None else ()
    note = f"Relative gap by cost, medians of the tuned settings: {'; '.join(said)}."
    return Chart(
        f"{rung.slug}-convergence", rung.title, note, x, y, tuple(series), rules,
        problem=rung.label, subject=rung.subject,
    )  # fmt: skip


def rates(rung: Rung) -> Chart | None:
    """Return the chart of the solved share by learning rate; None if no optimizer has one."""
    runs = rung.runs
    if "u" not in runs or runs["u"].isna().all():
        return None
    curves = sensitivity(runs)
    series, said = [], []
    for optimizer in rung.optimizers:
        style = rung.styles[optimizer]
        curve = curves[curves["optimizer"] == optimizer]
        if len(curve):
            u, share = (curve[name].to_numpy(dtype=float) for name in ("u", "share"))
            series.append(Series(optimizer, u, share, style))
            best = u[share == share.max()]
            if share.max() > 0:
                said.append(f"{optimizer} best at {_shown(best[0])} to {_shown(best[-1])}")
        mine = runs[(runs["optimizer"] == optimizer) & (runs["role"] == "reporting")]
        for trial, kind, what in (
            (0, "squares", "default"),
            (rung.tuned[optimizer], "rings", "tuned"),
        ):
            of_trial = mine[mine["trial"] == trial]
            if len(of_trial) and not of_trial["u"].isna().all():
                at = np.array([float(of_trial["u"].iloc[0])])
                share = np.array([float((of_trial["status"] == "solved").mean())])
                series.append(Series(f"{optimizer}, {what}", at, share, style, kind, role=what))  # type: ignore[arg-type]
    if not series:
        return None
    x = spanning("learning rate u, in the problem’s unit", "log", [each.x for each in series])
    y = Axis("share solved", "linear", -0.06, 1.06, given=((0, "0"), (0.5, "½"), (1, "1")))
    note = f"Share of instances solved by learning rate: {'; '.join(said) or 'none at any rate'}."
    name = f"{rung.slug}-rates"
    return Chart(name, rung.title, note, x, y, tuple(series), subject=rung.subject)


def along(rung: Rung) -> Iterator[Chart]:
    """Yield the charts of gᵀg, gᵀHg and the extreme eigenvalues along the run, as far as recorded."""
    x = Axis("cost, in gradients", "symlog", 0, rung.budget, threshold=3.0)
    for column, label, file in (("grad_sq", "gᵀg", "gg"), ("g_h_g", "gᵀHg", "ghg")):
        if column not in rung.traces or rung.traces[column].isna().all():
            continue
        series = []
        for optimizer in rung.optimizers:
            found = _median_along(rung.of(optimizer), column)
            if found is not None:
                series.append(Series(optimizer, *found, rung.styles[optimizer]))
        y = _axis_of(label, [each.y for each in series], column == "grad_sq")
        ends = (f"{each.name} {_shown(each.y[0])} to {_shown(each.y[-1])}" for each in series)
        note = f"{label} along the run, medians: {'; '.join(ends)}."
        name = f"{rung.slug}-{file}"
        yield Chart(name, label, note, x, y, tuple(series), subject=rung.subject)
    found = _spectrum(rung)
    if found is not None:
        yield found


def _spectrum(rung: Rung) -> Chart | None:
    """Return the chart of λmin and λmax at the start, after a tenth and a third of the budget, and at the end."""
    if "lambda_max" not in rung.traces:
        return None
    series, said = [], []
    for optimizer in rung.optimizers:
        known = rung.of(optimizer).dropna(subset=["lambda_min", "lambda_max"])
        if known.empty:
            continue
        by_seed = known.groupby("seed")
        is_last = by_seed.cumcount(ascending=False) == 0  # of a run that ended early, too
        known = known.assign(at=by_seed.cumcount().where(~is_last, len(MEASURED_AT) + 1))
        middle = known.groupby("at")[["lambda_min", "lambda_max"]].median()
        at = middle.index.to_numpy(dtype=float)
        for column, sign, dashed in (("lambda_max", "λmax", False), ("lambda_min", "λmin", True)):
            values = middle[column].to_numpy(dtype=float)
            name, style = f"{optimizer}, {sign}", rung.styles[optimizer]
            series.append(Series(name, at, values, style, dashed=dashed, role=sign))
        last = middle.iloc[-1]
        said.append(
            f"{optimizer} ends with {_shown(last['lambda_min'])} to {_shown(last['lambda_max'])}"
        )
    if not series:
        return None
    places = ["start", *(f"{share:.0%}" for share in MEASURED_AT), "end"]
    x = Axis("", "linear", -0.2, len(places) - 0.8, given=tuple(enumerate(places)))
    y = _axis_of("eigenvalue of H", [each.y for each in series], False)
    title = "Curvature"
    note = f"Largest and least eigenvalue of the Hessian, medians: {'; '.join(said)}."
    name = f"{rung.slug}-spectrum"
    return Chart(name, title, note, x, y, tuple(series), subject=rung.subject)


def _axis_of(label: str, values: Sequence[np.ndarray], positive: bool) -> Axis:
    """Return a logarithmic axis if all values are above 0, else a symlog one, linear below 10⁻⁵ of the largest."""
    every = np.concatenate(values) if values else np.ones(1)
    every = every[np.isfinite(every) & (np.abs(every) < sweep_plots.BEYOND)]
    if positive or (every > 0).all():
        kept = every[every > 0]
        found = spanning(label, "log", [kept])
        return Axis(label, "log", max(found.low, found.high * 1e-20), found.high)
    largest = float(np.abs(every).max(initial=0)) or 1.0
    threshold = 10.0 ** (math.floor(math.log10(largest)) - 5)
    low, high = min(float(every.min()), 0.0), max(float(every.max()), 0.0)
    return Axis(label, "symlog", 2 * low, 2 * high, threshold)


def _median_along(traces: pandas.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return costs, and the median over runs at each; a run that has ended keeps its last value."""
    known = traces[["seed", "cost", column]].dropna()
    if known.empty:
        return None
    cost = np.unique(known["cost"])
    values = []
    for _, run in known.groupby("seed"):
        at = np.searchsorted(run["cost"].to_numpy(), cost, side="right") - 1
        values.append(run[column].to_numpy(dtype=float)[np.maximum(at, 0)])
    middle = np.median(np.clip(values, -sweep_plots.BEYOND, sweep_plots.BEYOND), axis=0)
    cost, middle = _thinned(cost.astype(float), middle)
    return cost, middle


def _thinned(cost: np.ndarray, *others: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return at most about POINTS points, spaced by the logarithm of the cost, the last one included."""
    if len(cost) <= POINTS:
        return (cost, *others)
    wanted = np.concatenate([[0.0], np.geomspace(1, 1 + cost[-1], POINTS) - 1])
    kept = np.unique(np.append(np.searchsorted(cost, wanted, side="right") - 1, len(cost) - 1))
    kept = kept[kept >= 0]
    return (cost[kept], *(each[kept] for each in others))


# Landscapes.


def paths(rung: Rung) -> Chart | None:
    """Return the paths of the tuned runs of the first reporting instance; None unless there are two dimensions."""
    if rung.problem is None or not {"x.0", "x.1"} <= set(rung.traces):
        return None
    seed = int(rung.traces["seed"].min()) if len(rung.traces) else FIRST_REPORTING_SEED
    found = {}
    for optimizer in rung.optimizers:
        mine = rung.of(optimizer)
        mine = mine[mine["seed"] == seed]
        if "x.2" in mine and mine["x.2"].notna().any():
            return None
        points = mine[["x.0", "x.1"]].to_numpy(dtype=float)
        points = points[np.isfinite(points).all(axis=1)]
        ends = rung.ends(optimizer)
        if len(points) and (ends["seed"] == seed).any():
            found[optimizer] = points, str(ends.loc[ends["seed"] == seed, "status"].iloc[0])
    if not found:
        return None
    low, high = contours.window(list(found.values()))
    instance = Instances(rung.problem, (stream(seed),), torch.float64)
    problem, data = rung.problem, instance.data
    floor = problem.floor(data)
    scale = problem.loss(data["start"], data) - floor
    height = _heights((low, high), lambda grid: (problem.loss(grid[None], data) - floor) / scale)
    series = [
        _line(optimizer, points[_spread(len(points))], rung.styles[optimizer])
        for optimizer, (points, _) in found.items()
    ]
    start = next(iter(found.values()))[0][:1]
    series.append(Series("start", start[:, 0], start[:, 1], None, "squares"))
    said = "; ".join(f"{optimizer} {as_words(status)}" for optimizer, (_, status) in found.items())
    return Chart(
        f"{rung.slug}-paths", rung.title,
        f"Paths of the tuned runs of one instance over the landscape: {said}.",
        Axis("x₀", "linear", low[0], high[0]), Axis("x₁", "linear", low[1], high[1]), tuple(series),
        levels=_levels((low, high), height, rung.problem.card.floor_is_minimum, rung.target), subject=rung.subject,
    )  # fmt: skip


def _line(name: str, points: np.ndarray, style: int) -> Series:
    """Return the series of points in the plane."""
    return Series(name, points[:, 0], points[:, 1], style)


def _spread(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, 2 * POINTS)).round().astype(int))


def portrait(rung: Rung) -> Chart:
    """Return the chart of the problem's portrait."""
    problem = rung.problem
    assert problem is not None
    with default_dtype(torch.float64):
        given = problem.portrait()
        made = _curves(given) if isinstance(given, Curves) else _plane(View.of(problem, given))
    x, y, series, levels = made
    return Chart(
        f"{rung.slug}-portrait",
        "The problem",
        given.caption,
        x,
        y,
        tuple(series),
        levels=levels,
        own=True,
        subject=rung.subject,
    )


Made = tuple[Axis, Axis, list[Series], tuple[Level, ...]]


def _curves(given: Curves) -> Made:
    kinds = (
        ("bars", given.bars),
        ("line", given.lines),
        ("dots", given.dots),
        ("line", given.paths),
    )
    style = places(name for _, lines in kinds for name in lines)
    series = [
        Series(name, x.double().numpy(), y.double().numpy(), style[name], kind)  # type: ignore[arg-type]
        for kind, lines in kinds
        for name, (x, y) in lines.items()
    ]
    x, y = (
        _axis_of(label, values, False) if scale == "symlog" else spanning(label, scale, values)  # type: ignore[arg-type]
        for label, scale, values in (
            (given.x_label, given.x_scale, [each.x for each in series]),
            (given.y_label, given.y_scale, [each.y for each in series]),
        )
    )
    if given.y_range is not None:
        y = Axis(y.label, y.scale, *given.y_range)
    elif given.bars and y.scale == "linear":
        y = Axis(y.label, y.scale, 0.0, y.high)
    return x, y, series, ()


def _plane(view: View) -> Made:
    given = view.portrait
    low, high = (np.array([ends[k] for ends in given.window], dtype=float) for k in (0, 1))
    height = _heights((low, high), view.height)
    paths = view.paths()
    style = places(name for name, _ in paths)
    series = [
        _line(f"{name} ({values})" if values else name, points[_spread(len(points))], style[name])
        for (name, values), points in ((each, points.numpy()) for each, points in paths.items())
    ]
    at = view.within(view.start).numpy()
    series.append(Series("start", at[:1], at[1:], None, "squares"))
    x = Axis(given.x_label, "linear", low[0], high[0])
    y = Axis(given.y_label, "linear", low[1], high[1])
    return x, y, series, _levels((low, high), height, given.log, None)


def _heights(window: tuple[np.ndarray, np.ndarray], gap) -> np.ndarray:
    """Return the relative gap over a grid, in one call."""
    low, high = window
    sides = [np.linspace(low[axis], high[axis], GRID) for axis in (0, 1)]
    grid = torch.tensor(np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2))
    return gap(grid).detach().double().numpy().reshape(GRID, GRID)


def _levels(
    window: tuple[np.ndarray, np.ndarray],
    height: np.ndarray,
    logarithmic: bool,
    target: float | None,
) -> tuple[Level, ...]:
    """Return the regions above a dozen heights, with simplified curves."""
    low, high = window
    finite = height[np.isfinite(height)]
    if not len(finite):
        return ()
    heights = contours.level_heights(finite, logarithmic, target)
    top = float(finite.max())
    across, up = (np.linspace(low[axis], high[axis], GRID) for axis in (0, 1))
    filled = np.where(np.isfinite(height), height, top)
    generator = contour_generator(across, up, filled, fill_type=FillType.OuterOffset)
    unit = (high - low) / PIXELS
    levels = []
    for each in heights:
        if finite.min() < each < top:
            found: Any = generator.filled(each, np.inf)
            curves = [
                _simpler((shape[start:end] - low) / unit) * unit + low
                for shape, ends in zip(*found, strict=True)
                for start, end in itertools.pairwise(ends)
            ]
            levels.append(Level(float(each), tuple(curves)))
    return tuple(levels)


def _simpler(curve: np.ndarray) -> np.ndarray:
    """Return a closed curve in pixels, without the points that make no visible difference."""
    path = Path(curve)
    path.should_simplify, path.simplify_threshold = True, 0.3
    return np.asarray(path.cleaned(simplify=True).vertices)[:-1]


def slug(text: str) -> str:
    """Return a text as a part of a file's name."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.") or "x"


def _shown(value: float) -> str:
    value = float(value)
    return "beyond all bounds" if abs(value) >= sweep_plots.BEYOND else f"{value:.2g}"
