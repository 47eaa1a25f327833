"""Chebyshev's semi-iteration: the best step sizes that can be fixed before the first gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("chebyshev")
@dataclass(frozen=True)
class Chebyshev(Optimizer):
    """Chebyshev's semi-iteration, which damps all curvatures from μ to L alike: s = −2u g + h² u u₋ s₋.

    u = 1/(2m − h² u₋), with m = (L + μ)/2 and h = (L − μ)/2; u₋ and s₋ are those of the step before. At first
    u₋ = 0, and that u = 1/2m counts double at the next step. The error after t steps is T_t(·)/T_t(σ), with
    Chebyshev's polynomial T_t and σ = (L + μ)/(L − μ): on a quadratic at most 2/(Rᵗ + R⁻ᵗ) of the error is
    left, R = (√κ + 1)/(√κ − 1), and no step sizes fixed in advance guarantee less. The coefficients soon approach
    those of `optimal_heavy_ball`.

    It is given μ and L, the smallest and the largest curvature at the start. On a loss that is not quadratic
    nothing is guaranteed, and where curvatures are larger it diverges. Golub & Varga 1961, "Chebyshev
    semi-iterative methods, successive overrelaxation iterative methods, and second order Richardson iterative
    methods".
    """

    role = "oracle"

    def init(self, x: torch.Tensor) -> State:
        """Return s₋ = 0 and u₋ = 0, which stands for no step before."""
        return torch.zeros_like(x), torch.zeros_like(x[..., :1])

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −2u g + h² u u₋ s₋."""
        step, before = state
        low, high = oracle.spectrum
        middle, half = (high + low) / 2, (high - low) / 2
        rate = 1 / (2 * middle - half**2 * before)
        step = half**2 * rate * before * step - 2 * rate * oracle.gradient
        return step, (step, torch.where(before == 0, 2 * rate, rate))
