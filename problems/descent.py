"""Gradient descent, sign descent and Adam as plain loops, for claims; the optimizers are tested elsewhere."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

import torch

from problems.problem import Problem, Tree


def examples(problem: Problem, seeds: Iterable[int]) -> Tree:
    """Return the examples of these seeds as one instance: each tensor has a leading dimension, (seeds, …)."""
    trees = [problem.example(seed) for seed in seeds]
    return {name: torch.stack([tree[name] for tree in trees]) for name in trees[0]}


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


def sign_descent(
    problem: Problem, data: Tree, x: torch.Tensor, lr: float | torch.Tensor
) -> Iterator[torch.Tensor]:
    """Yield the points x₀, x₁, … of x ← x − lr sign(g), without end; arguments as those of `descent`."""
    while True:
        yield x
        x = x - lr * problem.value_and_gradient(x, data)[1].sign()


def adam(
    problem: Problem,
    data: Tree,
    x: torch.Tensor,
    lr: float | torch.Tensor,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the points x₀, x₁, … of Adam, and the √v̂ + eps by which it then divides, without end.

    Args:
        problem: The problem.
        data: The instances.
        x: The start, (*runs, dim).
        lr: The learning rate, a number or (*runs, 1).
        beta1: The share of m that is kept at each step.
        beta2: The same of v.
        eps: Added to √v̂.

    Yields:
        The points and the divisors, (*runs, dim) each.
    """
    mean = square = torch.zeros_like(x)
    for t in itertools.count(1):
        gradient = problem.value_and_gradient(x, data)[1]
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        root = (square / (1 - beta2**t)).sqrt() + eps
        yield x, root
        x = x - lr / (1 - beta1**t) * mean / root
