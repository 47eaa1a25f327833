"""Newton's method for sums of squares, without the residuals' own curvature."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.damped_newton import DampedNewton, damped_step
from optimizers.optimizer import Oracle, State
from optimizers.registry import register


@register("gauss_newton")
@dataclass(frozen=True)
class GaussNewton(DampedNewton):
    """To the least squares of the linearized residuals, damped: (JᵀJ + μI) s = −Jᵀr = −g.

    For f = ½|r|² + const, J = dr/dx. The Hessian is JᵀJ + Σ rᵢ ∇²rᵢ; where the residuals vanish at
    the minimum its second part does too, and this is Newton's method there. JᵀJ has no negative
    curvature: each step is downhill, and no saddle attracts, but none is left the faster for it
    either. μ adapts as in `damped_newton`. Not applicable where a problem states no residuals.

    `damping` is μ at the start. Gauss 1809; Levenberg 1944; Marquardt 1963.
    """

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """s = −(JᵀJ + μI)⁻¹ g, or 0 where that fails."""
        return damped_step(oracle, oracle.gauss_newton, state)
