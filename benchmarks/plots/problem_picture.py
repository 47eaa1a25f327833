"""Draw the picture of a problem from its portrait."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patheffects import Normal, Stroke

from benchmarks.engine.instances import generator, stack
from benchmarks.plots.contours import GRID, contours
from benchmarks.plots.style import COLOURS, LOOK, Picture
from optimizers import OPTIMIZERS, Optimizer
from optimizers.oracle import CountingOracle
from problems import PROBLEMS, Curves, Plane, Problem
from problems.precision import default_dtype

SIZE = (6.4, 4.2)  # inches
MARKERS = "osD^vP*X"


def picture(name: str) -> Picture:
    """Return the figure that shows the pathology of a registered problem.

    Args:
        name: The problem's registered name.

    Returns:
        The figure, with a caption.
    """
    problem = PROBLEMS.find(name)
    with default_dtype(torch.float64):
        portrait = problem.portrait()
        with mpl.rc_context(LOOK):
            figure = Picture(figsize=SIZE, layout="constrained")
            axes = figure.subplots()
            if isinstance(portrait, Plane):
                _plane(axes, problem, portrait)
            else:
                _curves(axes, portrait)
            caption = textwrap.fill(f"{name}. {portrait.caption}", 92)
            figure.supxlabel(caption, fontsize=9, x=0.01, ha="left")
    return figure


def _curves(axes: Axes, portrait: Curves) -> None:
    kinds = (portrait.bars, portrait.lines, portrait.dots)
    named = dict.fromkeys(name for kind in kinds for name in kind)
    place = {name: k for k, name in enumerate(named)}
    for name, (x, y) in portrait.bars.items():
        width = 0.9 * float((x[1:] - x[:-1]).min()) if len(x) > 1 else 0.8
        axes.bar(x.numpy(), y.numpy(), width, color=COLOURS[place[name]], alpha=0.45, label=name)
    for name, (x, y) in portrait.lines.items():
        axes.plot(x.numpy(), y.numpy(), color=_colour(place[name]), label=name, linewidth=1.4)
    for name, (x, y) in portrait.dots.items():
        style = {
            "linestyle": "none",
            "marker": MARKERS[place[name] % len(MARKERS)],
            "markersize": 4,
        }
        axes.plot(x.numpy(), y.numpy(), color=_colour(place[name]), label=name, **style)
    axes.set_xscale(portrait.x_scale)
    axes.set_yscale(portrait.y_scale)
    axes.set_xlabel(portrait.x_label)
    axes.set_ylabel(portrait.y_label)
    if any(named):
        many = len(axes.get_legend_handles_labels()[0]) > 5
        axes.legend(**({"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if many else {}))


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _plane(axes: Axes, problem: Problem, portrait: Plane) -> None:
    data = problem.example()
    start = data["start"] if portrait.start is None else portrait.start
    origin = torch.zeros_like(start) if portrait.origin is None else portrait.origin
    basis = torch.eye(2) if portrait.axes is None else portrait.axes
    sides = [np.linspace(low, high, GRID) for low, high in portrait.window]
    grid = torch.as_tensor(np.stack(np.meshgrid(*sides), axis=-1))
    floor = problem.floor(data)
    scale = problem.loss(start, data) - floor
    height = (problem.loss(origin + grid @ basis, data) - floor) / scale
    contours(axes, sides, height.numpy(), portrait.log, None)
    halo = [Stroke(linewidth=3, foreground="white"), Normal()]
    lengths = basis.square().sum(-1)
    for place, (name, values) in enumerate(portrait.paths):
        points = path(problem, OPTIMIZERS.find(name).replace(**values), start, portrait.steps)
        within = (((points - origin) @ basis.T) / lengths).numpy()
        axes.plot(
            *within.T, color=COLOURS[place], marker=".", markersize=4, linewidth=1.2,
            path_effects=halo, label=called(name, values),
        )  # fmt: skip
        axes.plot(
            *within[-1:].T, color=COLOURS[place], marker="o", markersize=6, markeredgecolor="white"
        )
    at = (((start - origin) @ basis.T) / lengths).numpy()
    axes.plot(
        *at[:, None], color="black", marker="s", markersize=6, markeredgecolor="white", zorder=5
    )
    axes.set_xlabel(portrait.x_label)
    axes.set_ylabel(portrait.y_label)
    axes.figure.legend(loc="outside upper center", ncols=2, handlelength=1.5, columnspacing=1.2)


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


def called(name: str, values: Mapping[str, float]) -> str:
    """Return an optimizer's name with the values that differ from its defaults."""
    said = ", ".join(f"{field} {value:.3g}" for field, value in values.items())
    return f"{name} ({said})" if said else name
