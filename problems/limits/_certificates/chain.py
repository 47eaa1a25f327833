"""What the evidence for both of Nesterov's chains runs."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from problems.limits.chain import Chain
from problems.problem import Tree


def accelerated(problem: Chain, data: Tree, momentum: Iterator[float]) -> Iterator[torch.Tensor]:
    """The points x₀, x₁, … of Nesterov's method, x ← y − g(y), y ← x + β (x − the x before)."""
    x = ahead = data["start"]
    for beta in momentum:
        yield x
        before, x = x, ahead - problem.value_and_gradient(ahead, data)[1]
        ahead = x + beta * (x - before)
