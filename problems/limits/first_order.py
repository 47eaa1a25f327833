"""How far two first-order methods get on a chain: conjugate gradients, the best of them, and gradient descent."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from problems.limits.chain import Chain
from problems.problem import Tree


def conjugate_gradients(problem: Chain, data: Tree) -> Iterator[torch.Tensor]:
    """Yield the points x₀, x₁, … of conjugate gradients, each the best sum of the gradients seen."""
    x = data["start"]
    residual = -problem.value_and_gradient(x, data)[1]
    direction, square = residual, residual @ residual
    while True:
        yield x
        product = problem.hvp(x, data, direction)
        length = square / (direction @ product)
        x, residual = x + length * direction, residual - length * product
        before, square = square, residual @ residual
        direction = residual + square / before * direction


def descent_misses(problem: Chain, steps: float) -> bool:
    """True if gradient descent leaves more than the target at each of 41 constant rates up to 2/λmax."""
    unit = torch.eye(len(problem.solution()), dtype=torch.float64)
    curvatures, basis = torch.linalg.eigh(problem.times_hessian(unit))
    shares = basis[0].square() / curvatures
    rates = torch.linspace(1, 2, 41, dtype=torch.float64)[:, None] / curvatures[-1]
    left = shares * (1 - rates * curvatures) ** (2 * int(steps))
    return (left.sum(-1).min() / shares.sum()).item() > problem.card.target
