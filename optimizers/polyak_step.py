"""Gradient descent with a step size computed from the known minimum."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("polyak_step")
@dataclass(frozen=True)
class PolyakStep(Optimizer):
    """Gradient descent with Polyak's step size from the known minimum f*: s = −(f − f*)/|g|² · g, and 0 if g = 0.

    The step leads to where the tangent is as low as f*. On a convex function it never moves away from any
    minimizer, without knowing a curvature; on a quadratic it still takes of the order of κ steps. Beside a saddle
    or on a plateau, far above f*, it throws the run farther the flatter the loss is: there is no cap, which would
    be a length to search. If noise shows a loss below f* it stays. It is given f*, and is not ranked. Polyak 1969,
    "Minimization of unsmooth functionals"; Polyak 1987, "Introduction to Optimization".
    """

    role = "oracle"

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −(f − f*)/|g|² · g."""
        gradient = oracle.gradient
        gap = (oracle.value - oracle.floor).clamp(min=0.0)
        square = gradient.square().sum(-1, keepdim=True)
        return -torch.where(square > 0, gap / square, 0.0) * gradient, state
