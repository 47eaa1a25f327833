"""Gradient descent as a plain loop, for claims; the engine and its optimizers are tested elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from problems.problem import Problem, Tree


def descent(
    problem: Problem,
    data: Tree,
    x: torch.Tensor,
    lr: float | torch.Tensor,
    momentum: float | torch.Tensor = 0.0,
    threshold: float | torch.Tensor = math.inf,
) -> Iterator[torch.Tensor]:
    """Yield the points x₀, x₁, … of heavy ball on the exact loss, each gradient clipped by norm.

    v ← momentum v + g min(1, threshold/|g|), x ← x − lr v, without end.

    Args:
        problem: The problem.
        data: The instances.
        x: The start, (*runs, dim).
        lr: The learning rate, a number or (*runs, 1).
        momentum: A number or (*runs, 1).
        threshold: The norm from which gradients are clipped, a number or (*runs, 1).

    Yields:
        The points, (*runs, dim).
    """
    velocity = torch.zeros_like(x)
    while True:
        yield x
        gradient = problem.value_and_gradient(x, data)[1]
        norm = gradient.norm(dim=-1, keepdim=True)
        velocity = momentum * velocity + gradient * (threshold / norm).clamp(max=1)
        x = problem.project(x - lr * velocity, data)
