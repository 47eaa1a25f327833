"""Momentum with constants computed from the known curvatures, without a search."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("optimal_heavy_ball")
@dataclass(frozen=True)
class OptimalHeavyBall(Optimizer):
    """Heavy-ball momentum with the best constants for quadratics with curvatures from μ to L: s = −lr · g + β s₋.

    lr = 4/(√L + √μ)², β = ((√L − √μ)/(√L + √μ))², s₋ the step before, 0 at first.

    In the long run each step leaves √β of the error, and no first-order method is faster on all such quadratics:
    of the flattest mode (1 + 2t/(√κ + 1)) √βᵗ is left, κ = L/μ. It is given the curvatures at the start; if others
    occur it may diverge, and on a loss that is not quadratic it may cycle (Lessard, Recht & Packard 2016,
    arXiv:1408.3595). Polyak 1964, "Some methods of speeding up the convergence of iteration methods".
    """

    role = "oracle"

    def init(self, x: torch.Tensor) -> State:
        """Return s₋ = 0."""
        return (torch.zeros_like(x),)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −lr · g + β s₋."""
        (step,) = state
        low, high = (curvature.sqrt() for curvature in oracle.spectrum)
        lr, momentum = 4 / (high + low) ** 2, ((high - low) / (high + low)) ** 2
        step = momentum * step - lr * oracle.gradient
        return step, (step,)


@register("optimal_nesterov")
@dataclass(frozen=True)
class OptimalNesterov(Optimizer):
    """Nesterov's method with the constants for all losses with curvatures from μ to L: s = y − g(y)/L − x.

    y = x + β s₋, β = (√L − √μ)/(√L + √μ), s₋ the step before, 0 at first.

    The point that is stored and scored is the iterate x, to which the bound applies: with κ = L/μ

        f(x_t) − f* ≤ (1 − 1/√κ)ᵗ (f(x₀) − f* + (μ/2) |x₀ − x*|²),

    on quadratics and other losses. The gradient is evaluated at y, the point that `nesterov` stores, as torch does.
    It is given the curvatures at the start; the bound holds if all others lie between them. Nesterov 2004,
    "Introductory lectures on convex optimization", theorem 2.2.3.
    """

    role = "oracle"

    def init(self, x: torch.Tensor) -> State:
        """Return s₋ = 0."""
        return (torch.zeros_like(x),)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = y − g(y)/L − x."""
        (step,) = state
        low, high = (curvature.sqrt() for curvature in oracle.spectrum)
        ahead = oracle.at(oracle.x + (high - low) / (high + low) * step)
        step = ahead.x - oracle.x - ahead.gradient / high**2
        return step, (step,)
