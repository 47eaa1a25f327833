"""The evidence for `nesterov_strongly_convex`: claims and portrait."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, repeat

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.limits._certificates.chain import accelerated
from problems.limits.first_order import conjugate_gradients
from problems.limits.nesterov_strongly_convex import SOURCE, NesterovStronglyConvex
from problems.portrait import Curves
from problems.problem import Tree

BEST, FAST, HEAVY = METHODS = ("conjugate gradients", "Nesterov's method", "heavy ball")


def run(problem: NesterovStronglyConvex, method: str, data: Tree) -> Iterator[torch.Tensor]:
    """The points of one of the methods, at its constants."""
    if method == BEST:
        return conjugate_gradients(problem, data)
    if method == FAST:
        return accelerated(problem, data, repeat(problem.decay))
    rate = 4 / (1 + math.sqrt(1 / problem.condition)) ** 2
    return descent(problem, data, data["start"], rate, momentum=problem.decay**2)


def ratio_to_bound(problem: NesterovStronglyConvex, method: str, steps: int) -> float:
    """The squared distance that a method leaves over q^2t |x₀ − x*|²."""
    data = problem.example()
    x = next(islice(run(problem, method, data), steps, None))
    left = problem.distance(x, data) / problem.distance(data["start"], data)
    return left.square().item() / problem.decay ** (2 * steps)


def _claim_ratio(method: str, steps: int, stated: float, tolerance: float, name: str) -> None:
    """Claim a method's squared distance after so many steps, in units of Nesterov's bound."""

    @claim(
        NesterovStronglyConvex,
        f"squared distance that {method} leaves after {steps} steps at Q = 100, over the bound",
        stated=stated,
        within=about(stated, rel=tolerance),
        source=SOURCE,
        name=f"{name}_after_{steps}",
    )
    def measure(problem: NesterovStronglyConvex) -> float:
        return ratio_to_bound(replace(problem, dim=400, condition=100.0), method, steps)


# What rounding leaves of heavy ball's zeros is 10⁻¹⁶ beside q⁶⁰ = 6e-6.
_claim_ratio(HEAVY, 10, 1.0, 1e-6, "heavy")
_claim_ratio(HEAVY, 30, 1.0, 1e-6, "heavy")
_claim_ratio(HEAVY, 60, 1.0, 1e-6, "heavy")
# To the digits given.
_claim_ratio(BEST, 10, 1.60, 5e-3, "best")
_claim_ratio(BEST, 30, 1.669, 5e-4, "best")
_claim_ratio(BEST, 60, 1.669, 5e-4, "best")
_claim_ratio(FAST, 10, 5.8, 1e-2, "fast")
_claim_ratio(FAST, 30, 217, 5e-3, "fast")
_claim_ratio(FAST, 60, 5.6e4, 1e-2, "fast")


@claim(
    NesterovStronglyConvex,
    "so far is heavy ball's t-th point from the first t coordinates of the solution",
    stated=0.0,
    within=(0.0, 1e-14),
    source="derived",
)
def heavy_ball_error(problem: NesterovStronglyConvex) -> float:
    """At every t up to 30 and Q = 100.

    With xₜ of that kind, H xₜ − w e₁ is nonzero in coordinates t and t + 1 only, because the
    chain's equation holds before; the rate takes the second to q^(t+1), and q² (xₜ − xₜ₋₁) cancels the
    first.
    """
    problem = replace(problem, condition=100.0)
    data = problem.example()
    points = torch.stack(list(islice(run(problem, HEAVY, data), 31))) - data["start"]
    exact = problem.solution() * torch.ones_like(points).tril(-1)
    return (points - exact).abs().max().item()


@claim(
    NesterovStronglyConvex,
    "so far is qⁱ from the solution of the linear equations, at Q = 100 and dim 400",
    stated=0.0,
    within=(0.0, 1e-14),
    source=SOURCE,
)
def solution_error(problem: NesterovStronglyConvex) -> float:
    problem = replace(problem, dim=400, condition=100.0)
    matrix = problem.times_hessian(torch.eye(400))
    pull = problem.stiffness * torch.eye(400)[0]
    return (torch.linalg.solve(matrix, pull) - problem.solution()).abs().max().item()


@claim(
    NesterovStronglyConvex,
    "smallest curvature over 1/Q, at Q = 100 and dim 400",
    stated=1.0015,
    within=about(1.0015, abs=5e-5),
    source="derived",
)
def smallest_curvature(problem: NesterovStronglyConvex) -> float:
    problem = replace(problem, dim=400, condition=100.0)
    return 100 * torch.linalg.eigvalsh(problem.times_hessian(torch.eye(400)))[0].item()


@claim(
    NesterovStronglyConvex,
    "off the quadratics heavy ball may go round in a cycle, whose highest point is this",
    stated=2592 / 1225,
    within=about(2592 / 1225, abs=1e-6),
    source="Lessard, Recht & Packard 2016, section 4.6",
    formula=True,
)
def cycle(problem: NesterovStronglyConvex) -> float:
    """Curvatures 25, 1, 25, at the constants for quadratics of curvatures from 1 to 25, from 3.3."""
    before = x = 3.3
    points = []
    for _ in range(300):
        slope = 25 * x if x < 1 else x + 24 if x < 2 else 25 * x - 24
        before, x = x, x - slope / 9 + 4 / 9 * (x - before)
        points.append(x)
    return max(points[-3:])


def portrait(problem: NesterovStronglyConvex) -> Curves:
    data = problem.example()
    steps = torch.arange(0, problem.dim // 2, 2)
    dots = {}
    for method in METHODS:
        points = torch.stack(list(islice(run(problem, method, data), 0, problem.dim // 2, 2)))
        dots[method] = (steps, problem.distance(points, data).square())
    return Curves(
        caption="No method that adds up gradients comes nearer than the line; heavy ball lies on it.",
        x_label="steps",
        y_label="squared distance",
        lines={"least possible": (steps, problem.least_square_distance(steps))},
        dots=dots,
        y_scale="log",
    )
