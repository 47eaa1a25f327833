"""Chebyshev's semi-iteration: the best steps that are known before the first gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("chebyshev")
@dataclass(frozen=True)
class Chebyshev(Optimizer):
    """Damps all curvatures from μ to L alike: the error after t steps is T_t(·)/T_t(σ), σ = (L + μ)/(L − μ).

    s = −2u g + h² u u₋ s₋, u = 1/(2m − h² u₋), with m and h half of L + μ and of L − μ, and u₋ and s₋
    those of the step before; at first u₋ = 0, and that u = 1/2m counts double at the next step. T_t
    is Chebyshev's polynomial: on a quadratic at most 2/(Rᵗ + R⁻ᵗ) of the error is left after t
    steps, R = (√κ + 1)/(√κ − 1), and no choice of steps made beforehand promises less. Its constants
    soon are those of the optimal heavy ball.

    It is told μ and L, the curvatures at the start. Off the quadratics nothing is promised, and
    where curvatures are higher it diverges. Golub & Varga 1961, "Chebyshev semi-iterative methods,
    successive overrelaxation iterative methods, and second order Richardson iterative methods".
    """

    role = "oracle"

    def init(self, x: torch.Tensor) -> State:
        """s₋ = 0; u₋ = 0, which stands for no step before."""
        return torch.zeros_like(x), torch.zeros_like(x[..., :1])

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """s = −2u g + h² u u₋ s₋."""
        step, before = state
        low, high = oracle.spectrum
        middle, half = (high + low) / 2, (high - low) / 2
        rate = 1 / (2 * middle - half**2 * before)
        step = half**2 * rate * before * step - 2 * rate * oracle.gradient
        return step, (step, torch.where(before == 0, 2 * rate, rate))
