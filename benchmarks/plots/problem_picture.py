"""Draw the picture of a problem from its portrait."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from benchmarks.catalog.contenders import contender
from benchmarks.engine.instances import generator, stack
from benchmarks.plots.contours import GRID, contours, height_bar
from benchmarks.plots.style import COLOURS, LOOK, Picture
from optimizers import Optimizer
from optimizers.oracle import CountingOracle
from problems import PROBLEMS, Curves, Plane, Problem
from problems.precision import default_dtype
from ravine import Refused, nearest

WIDTH, HEIGHT, PANEL = 6.4, 4.2, 3.0  # inches: of curves, and of one panel of a plane
MARKERS = "osD^vPXp"
MANY = 60  # dots of one name, from which on they are small
FEW = 200  # the largest number over the least along a logarithmic axis below which ticks are not only powers of ten
DOTTED, JOINED = 0.02, 0.003  # of a panel: nearer steps have no dot, or no corner, of their own
START: dict[str, Any] = {"marker": "s", "markersize": 8.5, "markeredgecolor": "white"}
END: dict[str, Any] = {
    "marker": "o",
    "markersize": 6,
    "markeredgecolor": "white",
}  # less than the start
# Methods that have the same colour in every picture.
METHODS = (
    ("gradient descent", "descent", "sgd"),
    ("heavy ball", "momentum"),
    ("Adam", "adam"),
    ("Newton's method", "newton"),
    ("clipped descent", "clipped_sgd"),
    ("saddle-free Newton", "saddle_free_newton"),
)


def picture(
    name: str, paths: Mapping[str, Mapping[str, float]] | None = None, **fields: float
) -> Picture:
    """Return the figure that shows the pathology of a registered problem.

    Args:
        name: The problem's registered name.
        paths: Optimizers and their hyperparameters, if others than in the atlas are to be drawn over a landscape.
        fields: Fields of the problem that are to differ from the registered ones, such as its dial.

    Returns:
        The figure; its `caption` says what to see in that of the atlas.

    Raises:
        Refused: If the problem, a field or an optimizer is unknown, or if there is no landscape for paths.
    """
    problem = PROBLEMS.find(name)
    known = [setting.removeprefix("problem.") for setting in problem.settings]
    for field in fields:
        if field not in known:
            raise Refused(f"{name} has no field {field!r}: {nearest(field, known)}")
    problem = replace(problem, **fields)  # type: ignore[type-var]
    with default_dtype(torch.float64):
        portrait = problem.portrait()
        with mpl.rc_context(LOOK):
            if isinstance(portrait, Curves):
                if paths is not None:
                    raise Refused(
                        f"the picture of {name} has no landscape over which paths could be drawn"
                    )
                figure = _curves(portrait)
            else:
                if paths is not None:
                    portrait = replace(portrait, paths=tuple(paths.items()))
                figure = _plane(View.of(problem, portrait))
    figure.caption = portrait.caption
    return figure


def places(names: Iterable[str]) -> dict[str, int]:
    """Return each name's place in the list of colours: a method's own; other names do not take it beside one."""
    names = dict.fromkeys(names)
    known = {each: place for place, method in enumerate(METHODS) for each in method}
    taken = {known[name] for name in names if name in known}
    others = [*range(len(METHODS), len(COLOURS)), *reversed(range(len(METHODS)))]
    free = itertools.cycle(
        [place for place in others if place not in taken] if taken else range(len(COLOURS))
    )
    return {name: known[name] if name in known else next(free) for name in names}


def _curves(portrait: Curves) -> Picture:
    """Draw one panel for each path, or a single one if there is none."""
    if portrait.paths:
        figure, panels = _panels(len(portrait.paths), 0.8)
    else:
        figure = Picture(figsize=(WIDTH, HEIGHT), layout="constrained")
        panels = [figure.subplots()]
    kinds = (portrait.bars, portrait.lines, portrait.dots, portrait.paths)
    place = places(name for kind in kinds for name in kind)
    legend: list[Line2D] = []
    for axes in panels:
        legend = _series(axes, portrait, place)
        axes.set(xscale=portrait.x_scale, yscale=portrait.y_scale, xlabel=portrait.x_label)
        if portrait.y_range is not None:
            axes.set_ylim(*portrait.y_range)
        whole = all(bool((x == x.round()).all()) for kind in kinds for x, _ in kind.values())
        for along, scale in ((axes.xaxis, portrait.x_scale), (axes.yaxis, portrait.y_scale)):
            low, high = along.get_view_interval()
            if scale == "log" and high < FEW * low:
                along.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
                along.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                along.set_minor_formatter(NullFormatter())
            elif scale == "linear" and whole and along is axes.xaxis:
                along.set_major_locator(MaxNLocator(integer=True, steps=(1, 2, 5, 10)))
    panels[0].set_ylabel(portrait.y_label)
    for axes, (name, points) in zip(panels, portrait.paths.items(), strict=False):
        axes.set_title(name, color=_colour(place[name]))
        _path(axes, torch.stack(points, -1).numpy(), _colour(place[name]))
    _legend(figure, legend + (_ends("end") if portrait.paths else []))
    return figure


def _series(axes: Axes, portrait: Curves, place: Mapping[str, int]) -> list[Line2D]:
    """Draw all but the paths, and return the marks of the legend: one for each name."""
    looks: dict[str, dict[str, Any]] = {}
    for name, (x, y) in portrait.bars.items():
        width = 0.9 * float((x[1:] - x[:-1]).min()) if len(x) > 1 else 0.8
        axes.bar(x.numpy(), y.numpy(), width, color=_colour(place[name]), alpha=0.45)
        looks[name] = {"linewidth": 6, "alpha": 0.45}
    for name, (x, y) in portrait.lines.items():
        axes.plot(x.numpy(), y.numpy(), color=_colour(place[name]), linewidth=1.4)
        looks[name] = {"linewidth": 1.4}
    behind = itertools.count(len(portrait.dots) - 1, -1)
    for name, (x, y) in portrait.dots.items():
        mark: dict[str, Any] = {"marker": MARKERS[place[name] % len(MARKERS)], "linestyle": "none"}
        size = 4.0 if len(x) <= MANY else 2.2
        size *= 1 + 0.7 * next(behind) / max(len(portrait.dots) - 1, 1)  # none hides another
        axes.plot(x.numpy(), y.numpy(), color=_colour(place[name]), markersize=size, **mark)
        looks[name] = {**mark, "markersize": 4, **looks.get(name, {})}
        if name in portrait.lines:
            looks[name]["linestyle"] = "-"
    handles = [
        Line2D([], [], color=_colour(place[name]), label=name, **look)
        for name, look in looks.items()
        if name
    ]
    if portrait.lines.keys() & portrait.dots.keys():
        handles += [
            Line2D([], [], color="0.45", linestyle="none", marker="o", markersize=4, label="measured"),
            Line2D([], [], color="0.45", linewidth=1.4, label="predicted"),
        ]  # fmt: skip
    return handles


def _legend(figure: Picture, handles: Sequence[Line2D]) -> None:
    """Add a legend above the panels, where it hides nothing, in as many columns as fit."""
    if handles:
        longest = max(len(str(each.get_label())) for each in handles)
        fit = int(12 * figure.get_figwidth() / (longest + 5))
        columns = max(1, min(fit, len(handles)))
        rows = math.ceil(len(handles) / columns)
        figure.legend(
            handles=handles, loc="outside upper left", ncols=math.ceil(len(handles) / rows),
            handlelength=1.6, columnspacing=1.4,
        )  # fmt: skip


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


@dataclass(frozen=True)
class View:
    """The plane of a portrait: its loss, and the paths of the portrait's optimizers in it."""

    problem: Problem
    portrait: Plane

    @classmethod
    def of(cls, problem: Problem, portrait: Plane) -> View:
        """Return the view of a problem's portrait."""
        return cls(portrait.variant or problem, portrait)

    @property
    def start(self) -> torch.Tensor:
        """Return where the paths start, (dim,)."""
        given = self.portrait.start
        return self.problem.example()["start"] if given is None else given

    def height(self, grid: torch.Tensor) -> torch.Tensor:
        """Return the gap at points of the plane over that at the start: (..., 2) -> (...)."""
        data = self.problem.example()
        floor = self.problem.floor(data)
        origin, basis = self._plane()
        gap = self.problem.loss(origin + grid @ basis, data) - floor
        return gap / (self.problem.loss(self.start, data) - floor)

    def within(self, x: torch.Tensor) -> torch.Tensor:
        """Return where points lie in the plane, by projection: (..., dim) -> (..., 2)."""
        origin, basis = self._plane()
        return (x - origin) @ basis.T / basis.square().sum(-1)

    def paths(self) -> dict[tuple[str, str], torch.Tensor]:
        """Return the paths, (steps + 1, 2), by the optimizer's name and the values that are set."""
        found = {}
        for name, values in self.portrait.paths:
            optimizer = contender(name, values).optimizer
            points = path(self.problem, optimizer, self.start, self.portrait.steps)
            found[name, stated(values)] = self.within(points)
        return found

    def _plane(self) -> tuple[torch.Tensor, torch.Tensor]:
        origin, basis = self.portrait.origin, self.portrait.axes
        return (
            torch.zeros_like(self.start) if origin is None else origin,
            torch.eye(2) if basis is None else basis,
        )


def _plane(view: View) -> Picture:
    """Draw one panel for each path, so that none hides another."""
    portrait, paths = view.portrait, view.paths()
    sides = [np.linspace(low, high, GRID) for low, high in portrait.window]
    height = view.height(torch.as_tensor(np.stack(np.meshgrid(*sides), axis=-1))).numpy()
    (left, right), (low, high) = portrait.window
    figure, panels = _panels(len(paths), (high - low) / (right - left))
    place = places(name for name, _ in paths)
    for axes, ((name, values), points) in zip(panels, paths.items(), strict=True):
        drawn = contours(axes, sides, height, portrait.log, None)
        axes.set_title(f"{name}\n{values}" if values else name, color=_colour(place[name]))
        _path(axes, points.numpy(), _colour(place[name]))
        axes.set_xlabel(portrait.x_label)
        if axes is panels[-1]:
            height_bar(drawn, panels, portrait.log)
    panels[0].set_ylabel(portrait.y_label)
    _legend(figure, _ends(f"end, after {portrait.steps} steps"))
    return figure


def _panels(count: int, tall: float) -> tuple[Picture, list[Axes]]:
    """Return a figure with panels side by side, of this height over width as far as both are legible."""
    tall = min(max(tall, 0.6), 1.2)
    figure = Picture(figsize=(PANEL * count + 0.4, PANEL * tall + 0.9), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False, sharey=True).flat)


def _ends(last: str) -> list[Line2D]:
    """Return the legend's marks of the ends of a path."""
    return [
        Line2D([], [], linestyle="none", color="black", label=label, **look)
        for label, look in (("start", START), (last, END))
    ]


def _path(axes: Axes, points: np.ndarray, colour: str) -> None:
    """Draw the points (count, 2) of a path, with a dot at each step as far as dots can be told apart."""
    low, high = (np.array(each) for each in zip(axes.get_xlim(), axes.get_ylim(), strict=True))
    scaled = (points - low) / (high - low)
    halo = [Stroke(linewidth=2.6, foreground="white"), Normal()]
    axes.plot(*points[_apart(scaled, JOINED)].T, color=colour, linewidth=1.2, path_effects=halo)
    dots = [k for k in _apart(scaled, DOTTED) if ((scaled[k] >= 0) & (scaled[k] <= 1)).all()]
    axes.plot(*points[dots].T, color=colour, marker=".", markersize=4, linestyle="none")
    axes.plot(*points[:1].T, color="black", linestyle="none", zorder=5, **START)
    axes.plot(*points[-1:].T, color=colour, linestyle="none", zorder=6, **END)


def _apart(points: np.ndarray, distance: float) -> list[int]:
    """Return the first and the last point, and between them only those that far from the one before."""
    kept = [0]
    for k, point in enumerate(points[:-1]):
        if np.abs(point - points[kept[-1]]).max() > distance:
            kept.append(k)
    return [*kept, len(points) - 1]


def path(problem: Problem, optimizer: Optimizer, start: torch.Tensor, steps: int) -> torch.Tensor:
    """Return the points (steps + 1, dim) of one run from `start`, on the instance of `Problem.example`."""
    tree, x = problem.example(), start.view(1, 1, -1)
    data = stack([tree], torch.float64)
    noise, normals = generator("picture", "draws"), generator("picture", "optimizer")
    draws = problem.draws(tree, noise)
    oracle = CountingOracle(
        problem, data, (1, 1), lambda: torch.randn(x.shape, generator=normals), x.device
    )
    state, points = optimizer.init(x), [x]
    for _ in range(steps):
        oracle.move(x, None if draws is None else stack([next(draws)], torch.float64))
        step, state = optimizer.update(oracle, state)
        there = problem.project(x + step, data)
        if oracle.broken.any() or not torch.isfinite(there).all():
            break
        x = there
        points.append(x)
    return torch.cat(points).squeeze(1)


def stated(values: Mapping[str, float]) -> str:
    """Return hyperparameters as text: lr 0.1, momentum 0.9."""
    return ", ".join(f"{field} {value:.3g}" for field, value in values.items())
