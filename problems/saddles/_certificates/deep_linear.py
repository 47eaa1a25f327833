"""The evidence for `deep_linear`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.portrait import Curves
from problems.problem import Tree
from problems.saddles.deep_linear import MODES, STRENGTHS, DeepLinear


def _first_above(path: torch.Tensor, level: torch.Tensor | float) -> torch.Tensor:
    """Return the step, interpolated, at which a path (steps, *runs) first passes a level: (*runs)."""
    above = path - level
    after = (above < 0).to(torch.uint8).argmin(0, keepdim=True)
    here, before = above.gather(0, after)[0], above.gather(0, after - 1)[0]
    return after[0] - here / (here - before)


def strengths(problem: DeepLinear, x: torch.Tensor, data: Tree) -> torch.Tensor:
    """Return what all layers together multiply the modes by, uᵢᵀ W_N ⋯ W₁ vᵢ: (*runs, modes)."""
    bases = data["bases"]
    return torch.einsum(
        "...ij,...im,...jm->...m", problem._product(x), bases[..., -1, :, :], bases[..., 0, :, :]
    )


def time_to(problem: DeepLinear, strength: torch.Tensor, start: float, mode: int) -> torch.Tensor:
    """Return the time that gradient flow takes to bring a mode from a₀ = start to these strengths.

    With y = ln(a/(s − a)) the law is dt = a^(2/N − 1)/(N s) dy, whose integral from y(a₀) on is the
    trapezoidal sum over 2000 steps; at depth 2 it is ln(a(s − a₀)/(a₀(s − a)))/2s exactly.
    """
    s = STRENGTHS[mode]
    first, last = math.log(start / (s - start)), (strength / (s - strength)).log()
    y = first + (last - first)[..., None] * torch.linspace(0, 1, 2001)
    speed = (s * y.sigmoid()) ** (2 / problem.depth - 1) / (problem.depth * s)
    return torch.trapezoid(speed, y)


def _path(problem: DeepLinear, x: torch.Tensor, data: Tree, lr: float, time: float) -> torch.Tensor:
    """Return the modes' strengths at each step of gradient descent: (steps, *runs, modes)."""
    points = islice(descent(problem, data, x, lr), round(time / lr) + 1)
    return torch.stack([strengths(problem, point, data) for point in points])


def _path_from(problem: DeepLinear, start: float, lr: float, time: float) -> torch.Tensor:
    """Return the same where all modes start at a₀ = start: (steps, modes)."""
    data = problem.example()
    x = problem.aligned(torch.full((MODES,), start), data)
    return _path(problem, x, data, lr, time)


def _deviation(problem: DeepLinear, start: float, lr: float, time: float) -> float:
    """Return how far strengths along descent at depth 2 are at most from those of gradient flow.

    There a(t) = s/(1 + (s/a₀ − 1) e^(−2st)).
    """
    path = _path_from(replace(problem, depth=2), start, lr, time)
    s, t = torch.tensor(STRENGTHS), lr * torch.arange(len(path))[:, None]
    return (path - s / (1 + (s / start - 1) * (-2 * s * t).exp())).abs().max().item()


@claim(
    DeepLinear,
    "descent at lr 0.001 for 12,000 steps follows gradient flow's strengths to within",
    stated="below 0.02",
    within=(0.0, 0.02),
    source="Saxe, McClelland & Ganguli 2014, figure 3",
    slow=True,
)
def deviation_from_flow(problem: DeepLinear) -> float:
    return _deviation(problem, 1e-3, 1e-3, 12.0)


@claim(
    DeepLinear,
    "that deviation halves with the learning rate",
    stated=0.5,
    within=about(0.5, rel=0.1),
    source="derived: descent is Euler's method, of first order",
)
def deviation_halves(problem: DeepLinear) -> float:
    """Compare lr = 0.004 and 0.008; the next order changes the ratio by a relative lr · 2s, 3 %."""
    return _deviation(problem, 1e-3, 4e-3, 4.0) / _deviation(problem, 1e-3, 8e-3, 4.0)


@claim(
    DeepLinear,
    "at depth 2, the first mode is half learned at this time",
    stated=1.0367,
    within=about(1.0367, rel=0.01),
    source="Saxe, McClelland & Ganguli 2014: ln(s/a₀ − 1)/2s",
)
def first_half_time(problem: DeepLinear) -> float:
    return _half_time(problem, 0, 1.2)


@claim(
    DeepLinear,
    "at depth 2, the second mode is half learned at this time",
    stated=1.9001,
    within=about(1.9001, rel=0.01),
    source="Saxe, McClelland & Ganguli 2014: ln(s/a₀ − 1)/2s",
)
def second_half_time(problem: DeepLinear) -> float:
    return _half_time(problem, 1, 2.1)


@claim(
    DeepLinear,
    "at depth 2, the third mode is half learned at this time",
    stated=3.4534,
    within=about(3.4534, rel=0.01),
    source="Saxe, McClelland & Ganguli 2014: ln(s/a₀ − 1)/2s",
)
def third_half_time(problem: DeepLinear) -> float:
    return _half_time(problem, 2, 3.8)


def _half_time(problem: DeepLinear, mode: int, time: float) -> float:
    """Start at a₀ = 0.001, at depth 2; steps of lr = 0.002 delay a mode by a relative lr · s, 0.8 %."""
    path = _path_from(replace(problem, depth=2), 1e-3, 2e-3, time)
    return 2e-3 * _first_above(path[:, mode], STRENGTHS[mode] / 2).item()


@claim(
    DeepLinear,
    "from small random weights, not aligned, a mode's half time is still inverse to its "
    "strength: on average over starts the products of the two differ by at most this factor",
    stated="at most 1.1",
    within=(1.0, 1.1),
    source="Saxe, McClelland & Ganguli 2014",
)
def ratio_law_from_random_weights(problem: DeepLinear) -> float:
    """Run descent from 20 starts with weights N(0, 0.01²), at depth 2."""
    two = replace(problem, depth=2)
    data = two.example()
    x = 0.01 * torch.randn(20, len(data["start"]), generator=torch.Generator().manual_seed(0))
    s = torch.tensor(STRENGTHS)
    path = _path(two, x, data, 0.01, 10.0)
    products = s * _first_above(path, s / 2).mean(0)
    return (products.max() / products.min()).item()


@claim(
    DeepLinear,
    "at depth 3, the plateau's length is this power of the start's scale",
    stated=-1 / 3,
    within=about(-1 / 3, abs=0.01),
    source="derived: −(1 − 2/N)",
)
def plateau_exponent_at_depth_3(problem: DeepLinear) -> float:
    return _plateau_exponent(problem, 3, 1e-3)


@claim(
    DeepLinear,
    "at depth 4, the plateau's length is this power of the start's scale",
    stated=-1 / 2,
    within=about(-1 / 2, abs=0.01),
    source="derived: −(1 − 2/N)",
)
def plateau_exponent_at_depth_4(problem: DeepLinear) -> float:
    return _plateau_exponent(problem, 4, 1e-3)


@claim(
    DeepLinear,
    "at depth 6, the plateau's length is this power of the start's scale",
    stated=-2 / 3,
    within=about(-2 / 3, abs=0.01),
    source="derived: −(1 − 2/N)",
)
def plateau_exponent_at_depth_6(problem: DeepLinear) -> float:
    return _plateau_exponent(problem, 6, 1e-2)


def _plateau_exponent(problem: DeepLinear, depth: int, start: float) -> float:
    """Return the slope of ln(half time) of the strongest mode, between this a₀ and a thirtieth of it."""
    deep = replace(problem, depth=depth)
    data, starts = deep.example(), torch.tensor([start, start / 30])
    lr, half = 1 / deep.sharpness(), torch.tensor(STRENGTHS[0] / 2)
    longest = 1.1 * time_to(deep, half, starts[1].item(), 0).item()
    path = _path(deep, deep.aligned(starts[:, None].expand(2, MODES), data), data, lr, longest)
    first, second = _first_above(path[..., 0], half)
    return ((second / first).log() / (starts[1] / starts[0]).log()).item()


@claim(
    DeepLinear,
    "at depth 4, descent has half of each mode when gradient flow's exact solution says so: "
    "largest relative difference",
    stated=0.0,
    within=(0.0, 0.01),
    source="derived: dt = a^(2/N − 1)/(N s) d ln(a/(s − a))",
)
def half_times_at_depth_4(problem: DeepLinear) -> float:
    """Run descent at lr = 0.3/L from a₀ = 0.003."""
    deep = replace(problem, depth=4)
    s, lr = torch.tensor(STRENGTHS), 0.3 / deep.sharpness()
    path = _path_from(deep, 3e-3, lr, 10.0)
    flow = torch.stack([time_to(deep, s[k] / 2, 3e-3, k) for k in range(MODES)])
    return (lr * _first_above(path, s / 2) / flow - 1).abs().max().item()


@claim(
    DeepLinear,
    "along descent the gradient has so many peaks: a step for each mode",
    stated=3.0,
    within=(3.0, 3.0),
    source="Saxe, McClelland & Ganguli 2014, figure 3",
)
def steps_of_the_staircase(problem: DeepLinear) -> float:
    problem = replace(problem, start=1e-3)
    data = problem.example()
    x = problem.aligned(torch.full((MODES,), 1e-3), data)
    points = torch.stack([*islice(descent(problem, data, x, 1 / problem.sharpness()), 700)])
    slopes = problem.value_and_gradient(points, data)[1].norm(dim=-1)
    inner = slopes[1:-1]
    return float(((inner > slopes[:-2]) & (inner > slopes[2:])).sum())


def portrait(problem: DeepLinear) -> Curves:
    problem = replace(problem, start=1e-3)
    lr = 0.5 / problem.sharpness()
    path = _path_from(problem, problem.start, lr, 20.0)
    times = lr * torch.arange(len(path))
    lines, dots = {}, {}
    for mode, s in enumerate(STRENGTHS):
        share = torch.linspace(-6.9, 6, 200).sigmoid()  # of s, from just above the start
        lines[f"s = {s:g}"] = time_to(problem, s * share, problem.start, mode), s * share
        dots[f"s = {s:g}"] = times[::40], path[::40, mode]
    return Curves(
        caption=f"A linear network of depth {problem.depth} learns one mode after the other, the strongest first, "
        "each in a step at the end of a plateau: gradient descent, and the exact solution of gradient flow.",
        x_label="learning rate × steps",
        y_label="strength of the mode",
        lines=lines,
        dots=dots,
    )
