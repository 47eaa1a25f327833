"""The evidence for `rosenbrock`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.ill_conditioning.rosenbrock import SECOND, Rosenbrock
from problems.portrait import Plane


def _at_minimum(problem: Rosenbrock, dim: int) -> list[float]:
    """Return the curvatures at the minimum, ascending."""
    problem = replace(problem, dim=dim)
    return torch.linalg.eigvalsh(problem.hessian(torch.ones(dim), {})).tolist()


def _at_second(problem: Rosenbrock) -> dict[int, tuple[float, float, float]]:
    """Return by dim the loss, the gradient's norm and the smallest curvature at the second minimum."""
    found = {}
    for dim in SECOND:
        variant = replace(problem, dim=dim)
        x = variant.second_minimum()
        value, gradient = variant.value_and_gradient(x, {})
        curvatures = torch.linalg.eigvalsh(variant.hessian(x, {}))
        found[dim] = value.item(), gradient.norm().item(), curvatures[0].item()
    return found


def _last_residual(problem: Rosenbrock, first: torch.Tensor) -> torch.Tensor:
    """Return r_{dim−1} where x₁ is given and the gradient's other components are 0.

    With r_i = x_{i+1} − x_i² they read 2b r_{i−1} = 4b x_i r_i + 2 (1 − x_i), and give r_i, and
    x_{i+1} = x_i² + r_i, one after the other. A critical point is a zero of r_{dim−1}.
    """
    x, before = first, torch.zeros_like(first)
    for _ in range(problem.dim - 1):
        before = (problem.b * before - (1 - x)) / (2 * problem.b * x)
        x = x.square() + before
    return before


@claim(
    Rosenbrock,
    "the smallest curvature at the minimum, in two dimensions",
    stated=0.39936,
    within=about(0.39936, abs=5e-6),
    source="derived: the Hessian is [[8b + 2, −4b], [−4b, 2b]]",
)
def smallest_curvature(problem: Rosenbrock) -> float:
    return _at_minimum(problem, 2)[0]


@claim(
    Rosenbrock,
    "the largest curvature there",
    stated=1001.6006,
    within=about(1001.6006, abs=5e-5),
    source="derived, likewise",
)
def largest_curvature(problem: Rosenbrock) -> float:
    return _at_minimum(problem, 2)[1]


@claim(
    Rosenbrock,
    "the condition there, near 25 b",
    stated=2508.01,
    within=about(2508.01, abs=0.005),
    source="derived: κ + 2 + 1/κ = (10b + 2)²/4b",
)
def condition(problem: Rosenbrock) -> float:
    smallest, largest = _at_minimum(problem, 2)
    return largest / smallest


@claim(
    Rosenbrock,
    "the condition at the minimum in 20 dimensions; it levels off near 3600",
    stated=3593.26,
    within=about(3593.26, abs=0.005),
    source="computed from the Hessian",
)
def condition_in_20_dimensions(problem: Rosenbrock) -> float:
    curvatures = _at_minimum(problem, 20)
    return curvatures[-1] / curvatures[0]


@claim(
    Rosenbrock,
    "the largest deviation of the loss at the second minimum from 3.701428610, 3.930839434, "
    "3.973940501, 3.983600536, 3.98588777, 3.98662110 and 3.98662385 in 4, 5, 6, 7, 8, 12 and 30 dimensions",
    stated=0.0,
    within=(0.0, 6e-9),  # the figures' last digit
    source="Shang & Qiu 2006: two minima in 4 to 30 dimensions",
)
def loss_at_second_minimum(problem: Rosenbrock) -> float:
    return max(abs(value - SECOND[dim]) for dim, (value, _, _) in _at_second(problem).items())


@claim(
    Rosenbrock,
    "the largest gradient at those minima",
    stated=0.0,
    within=(0.0, 1e-10),
    source="derived: Newton's method is at rest",
)
def gradient_at_second_minimum(problem: Rosenbrock) -> float:
    return max(slope for _, slope, _ in _at_second(problem).values())


@claim(
    Rosenbrock,
    "the smallest of all curvatures at those minima: they are minima, in more than seven dimensions too",
    stated=0.38,
    within=(0.37, 6.0),
    source="Shang & Qiu 2006",
)
def curvature_at_second_minimum(problem: Rosenbrock) -> float:
    return min(smallest for *_, smallest in _at_second(problem).values())


@claim(
    Rosenbrock,
    "how far the second minimum in four dimensions is from (−.775659, .613093, .382063, .145972)",
    stated=0.0,
    within=(0.0, 1e-6),  # the figures' last digit, four times
    source="Shang & Qiu 2006",
)
def place_of_second_minimum(problem: Rosenbrock) -> float:
    stated = torch.tensor([-0.775659, 0.613093, 0.382063, 0.145972])
    return (replace(problem, dim=4).second_minimum() - stated).norm().item()


def _critical_points(problem: Rosenbrock, dim: int) -> float:
    """Count those with x₁ from −3 to 3: sign changes of the last residual, but for its poles."""
    first = torch.linspace(-3, 3, 600_001)
    residual = _last_residual(replace(problem, dim=dim), first)
    crossed = residual[1:] * residual[:-1] < 0
    pole = residual.abs()[1:].minimum(residual.abs()[:-1]) > 1
    return float((crossed & ~pole).sum())


@claim(
    Rosenbrock,
    "the critical points in three dimensions",
    stated=1.0,
    within=(1.0, 1.0),
    source="Kok & Sandrock 2009",
    formula=True,
)
def critical_points_in_3_dimensions(problem: Rosenbrock) -> float:
    return _critical_points(problem, 3)


@claim(
    Rosenbrock,
    "the critical points in four dimensions: two minima and a saddle between them",
    stated=3.0,
    within=(3.0, 3.0),
    source="Kok & Sandrock 2009",
    formula=True,
)
def critical_points_in_4_dimensions(problem: Rosenbrock) -> float:
    return _critical_points(problem, 4)


@claim(
    Rosenbrock,
    "the angle in degrees between −g and the floor, on it at x₁ = −0.8",
    stated=57.9946,
    within=about(57.9946, abs=1e-3),  # rounding, and the figure's last digit
    source="derived: atan(2 |x₁|)",
)
def angle_on_the_floor(problem: Rosenbrock) -> float:
    """Measure it: g = (−2 (1 − x₁), 0) and the floor's tangent is (1, 2 x₁), so descent runs into the wall."""
    x = torch.tensor([-0.8, 0.64])
    gradient = problem.value_and_gradient(x, {})[1]
    cosine = torch.cosine_similarity(-gradient, torch.tensor([1.0, -1.6]), dim=0)
    return math.degrees(math.acos(cosine.item()))


def portrait(problem: Rosenbrock) -> Plane:
    return Plane(
        caption="All find the valley at once. Gradient descent creeps along its floor, momentum is faster, and "
        "Newton's method jumps.",
        window=((-1.3, 1.4), (-0.5, 1.6)),
        paths=(
            ("sgd", {"lr": 1e-3}),
            ("momentum", {"lr": 5e-4, "momentum": 0.95}),
            ("newton", {}),
        ),
        steps=400,
        start=torch.tensor([-0.9, 1.3]),
    )
