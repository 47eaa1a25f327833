"""Newton's method as a plain loop, for claims and signatures: it ends at critical points of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch

from problems.problem import Problem, Tree

STEPS = 60  # wherever a signature asks, each step at least halves the distance


def newton_iteration(problem: Problem, data: Tree, x: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the points x₀, x₁, … (*runs, dim) of x ← x − H⁺ g, without end."""
    while True:
        yield x
        gradient = problem.value_and_gradient(x, data)[1]
        inverse = torch.linalg.pinv(problem.hessian(x, data), hermitian=True)
        x = problem.project(x - torch.einsum("...ij,...j->...i", inverse, gradient), data)


def end_of_newton(problem: Problem, data: Tree, steps: int = STEPS) -> torch.Tensor:
    """Return the point that Newton's method reaches from the start in that many steps."""
    return next(islice(newton_iteration(problem, data, data["start"]), steps, None))


def directions_down(problem: Problem, data: Tree) -> float:
    """Return how many curvatures are negative, beyond rounding, where Newton's method ends on one instance."""
    curvatures = torch.linalg.eigvalsh(problem.hessian(end_of_newton(problem, data), data))
    return float((curvatures < -1e-9 * curvatures.abs().max()).sum())
