"""Newton's method as a plain loop, for claims and signatures: it ends at critical points of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch

from problems.problem import Problem, Tree

STEPS = 60  # it converges at least linearly, by ½ a step, wherever a signature asks


def newton_iteration(problem: Problem, data: Tree, x: torch.Tensor) -> Iterator[torch.Tensor]:
    """The points x₀, x₁, … (*runs, dim) of x ← x − H⁺ g, without end: take as many as are wanted."""
    while True:
        yield x
        gradient = problem.value_and_gradient(x, data)[1]
        inverse = torch.linalg.pinv(problem.hessian(x, data), hermitian=True)
        x = problem.project(x - torch.einsum("...ij,...j->...i", inverse, gradient), data)


def end_of_newton(problem: Problem, data: Tree, steps: int = STEPS) -> torch.Tensor:
    """Where Newton's method is after that many steps from the start, shaped as that."""
    return next(islice(newton_iteration(problem, data, data["start"]), steps, None))


def directions_down(problem: Problem, data: Tree, x: torch.Tensor) -> torch.Tensor:
    """How many curvatures at x are negative beyond rounding, 1e-9 of the largest: (*runs)."""
    curvatures = torch.linalg.eigvalsh(problem.hessian(x, data))
    scale = curvatures.abs().amax(-1, keepdim=True)
    return (curvatures < -1e-9 * scale).sum(-1)
