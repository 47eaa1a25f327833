"""Gradient descent that is told how low the minimum is."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("polyak_step")
@dataclass(frozen=True)
class PolyakStep(Optimizer):
    """To where the tangent is as low as the minimum: s = −(f − f*)/|g|² · g, and 0 where g = 0.

    On a convex function it never moves away from any minimizer, without knowing a curvature; on a
    quadratic it too takes of the order of κ steps. Beside a saddle or on a plateau, far above f*, it
    throws the run the further off the flatter it is: there is no cap, which would be a scale to
    search. Where noise shows a loss below f* it stays. It knows f*, and is not ranked. Polyak 1969,
    "Minimization of unsmooth functionals"; Polyak 1987, "Introduction to Optimization".
    """

    role = "oracle"

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """s = −(f − f*)/|g|² · g."""
        gradient = oracle.gradient
        gap = (oracle.value - oracle.floor).clamp(min=0.0)
        square = gradient.square().sum(-1, keepdim=True)
        return -torch.where(square > 0, gap / square, 0.0) * gradient, state
