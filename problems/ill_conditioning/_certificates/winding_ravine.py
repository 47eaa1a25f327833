"""The evidence for `winding_ravine`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.ill_conditioning.winding_ravine import WindingRavine
from problems.portrait import Plane


def _steep(problem: WindingRavine) -> WindingRavine:
    """Return the ravine of the stated figures."""
    return replace(problem, shear=1.0, swing=1.0, across=100.0, along=0.01)


def _curvatures(problem: WindingRavine) -> list[float]:
    """Return both curvatures at the minimum, ascending."""
    problem = _steep(problem)
    data = problem.example()
    return torch.linalg.eigvalsh(problem.hessian(data["minimizer"], data)).tolist()


@claim(
    WindingRavine,
    "the smallest curvature at the minimum, for c = 0.01, b = 100, s = w = 1",
    stated=0.0049999,
    within=about(0.0049999, abs=5e-8),
    source="derived: the Hessian's trace b (1 + s²w²) + c and determinant b c",
)
def smallest_curvature(problem: WindingRavine) -> float:
    return _curvatures(problem)[0]


@claim(
    WindingRavine,
    "the largest curvature there",
    stated=200.005,
    within=about(200.005, abs=5e-6),
    source="derived, likewise: 200.01 is the trace",
)
def largest_curvature(problem: WindingRavine) -> float:
    return _curvatures(problem)[1]


@claim(
    WindingRavine,
    "the condition there, near b (1 + s²w²)²/c = 40000",
    stated=40002.0,
    within=about(40002.0, abs=0.05),
    source="derived: κ + 2 + 1/κ = trace²/determinant = 40004.0001",
)
def condition_at_minimum(problem: WindingRavine) -> float:
    smallest, largest = _curvatures(problem)
    return largest / smallest


@claim(
    WindingRavine,
    "the slope across the floor over that along it, a tenth of a swing up the wall",
    stated="above 100",
    within=(100.0, math.inf),
    source="derived: |b (1 + k²) d/(c u) − k|, d = v − s sin(w u), k = s w cos(w u)",
)
def pull_across(problem: WindingRavine) -> float:
    """Compare them at the start's u: the gradient is (c u − b k d, b d), and the floor's direction (1, k)."""
    problem = _steep(problem)
    data = problem.example()
    u = (data["start"] - data["minimizer"])[0]
    wall = data["minimizer"] + torch.stack([u, problem.floor_line(u) + 0.1 * problem.swing])
    slope = problem.shear * (problem.shear / problem.swing * u).cos()
    tangent = torch.stack([torch.ones_like(u), slope]) / (1 + slope**2).sqrt()
    normal = torch.stack([-tangent[1], tangent[0]])
    gradient = problem.value_and_gradient(wall, data)[1]
    return ((gradient @ normal) / (gradient @ tangent)).abs().item()


@claim(
    WindingRavine,
    "the time of slow descent down the floor over that down the straight one, over 1 + s²w²/2",
    stated=1.0,
    within=about(1.0, rel=0.05),
    source="derived: gradient flow",
)
def slowdown(problem: WindingRavine) -> float:
    """Time descent: on the floor u' = −c u/(1 + s²w² cos²(w u)), and the mean of cos² is ½.

    From 30 swings out to 10, at half the largest rate. The walls hold back a share c/b of the
    speed, 1 %, and the mean over ten windings is as near to ½ as their rest.
    """
    problem = replace(problem, shear=3.0, swing=1.0, across=1.0, along=0.01)
    data, lr = problem.example(), 1 / (1 + problem.shear**2)
    u = torch.tensor(30.0)
    x, steps = data["minimizer"] + torch.stack([u, problem.floor_line(u)]), 0
    points = descent(problem, data, x, lr)
    while (next(points) - data["minimizer"])[0] > 10:
        steps += 1
    time = steps * lr * problem.along / math.log(3)
    return time / (1 + problem.shear**2 / 2)


@claim(
    WindingRavine,
    "Newton's steps from the floor to 1e-20 of the loss there, the most over ten starts at shear 8",
    stated=2.0,
    within=(2.0, 2.0),
    source="derived",
)
def newton_steps(problem: WindingRavine) -> float:
    """Count them: on the floor the step is −u along its tangent, and from u = 0 it leads to the minimum."""
    problem, most = replace(problem, shear=8.0), 0
    for seed in range(10):
        data = problem.example(seed)
        u = (data["start"] - data["minimizer"])[0]
        x = start = data["minimizer"] + torch.stack([u, problem.floor_line(u)])
        steps = 0
        while problem.loss(x, data) > 1e-20 * problem.loss(start, data):
            gradient = problem.value_and_gradient(x, data)[1]
            x = x - torch.linalg.solve(problem.hessian(x, data), gradient)
            steps += 1
        most = max(most, steps)
    return float(most)


def portrait(problem: WindingRavine) -> Plane:
    data = {"minimizer": torch.zeros(2)}
    u = torch.tensor(6.0)
    return Plane(
        caption="Steps that the walls allow are short beside the bends: gradient descent follows each, momentum is "
        "carried past them, and Newton's method leaps out of the ravine.",
        window=((0.5, 7.0), (-2.1, 2.1)),
        paths=(
            ("sgd", {"lr": 0.15}),
            ("momentum", {"lr": 0.05, "momentum": 0.95}),
            ("newton", {}),
        ),
        steps=400,
        start=data["minimizer"] + torch.stack([u, problem.floor_line(u)]),
    )
