"""The evidence for the multimodal functions: their portrait, and what their claims measure."""

from __future__ import annotations

from itertools import islice

import torch

from problems.descent import descent
from problems.local_minima.multimodal import Multimodal
from problems.portrait import Curves


def portrait(problem: Multimodal, shown: slice | None = None) -> Curves:
    """Draw the loss along a line through the minimizer, at each rung; `shown` of the line's points."""
    data = problem.example()
    lines = {}
    for rung in problem.card.ladder:
        variant = problem.at_dial(rung)
        z = variant.line()[problem.shown if shown is None else shown]
        lines[f"{problem.card.dial} {rung:g}"] = (
            z[:, 0],
            variant.loss(variant.place(z, data), data),
        )
    return Curves(
        caption="The loss along a line through the minimizer.",
        x_label="z₁; all other coordinates are those of the minimizer",
        y_label="loss",
        lines=lines,
    )


def share_solved(problem: Multimodal, count: int, lr: float, steps: int) -> float:
    """Return the share of random starts that gradient descent solves."""
    data = problem.example()
    uniform = torch.rand(count, problem.dim, generator=torch.Generator().manual_seed(1))
    start = problem.place(problem.first(uniform), data)
    *_, end = islice(descent(problem, data, start, lr), steps + 1)
    gap, height = (problem.loss(x, data) - problem.floor(data) for x in (end, start))
    return (gap <= problem.card.target * height).double().mean().item()


def first_trap(problem: Multimodal, ray: torch.Tensor) -> float:
    """Return the dial from which on the loss falls somewhere along a ray from m, by bisection.

    `ray` (count, dim) is in coordinates z − o.
    """
    data = problem.example()
    x = problem.place(problem.optimum + ray, data)

    def has_trap(exponent: float) -> bool:
        gradient = problem.at_dial(10**exponent).value_and_gradient(x, data)[1]
        return bool(((gradient * (x - data["minimizer"])).sum(-1) < 0).any())

    low, high = -4.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if has_trap(middle) else (middle, high)
    return 10**low
