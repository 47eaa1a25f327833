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
    """Gauss–Newton for least squares: JᵀJ in place of the Hessian, with damping μ: (JᵀJ + μI) s = −Jᵀr = −g.

    For f = ½|r|² + const, J = dr/dx: s minimizes the linearized residuals' squares. The Hessian is
    JᵀJ + Σ rᵢ ∇²rᵢ; if the residuals vanish at the minimum its second term does too, and there this is Newton's
    method. JᵀJ has no negative curvature: each step is downhill and no saddle attracts, but none is left faster
    either. μ adapts as in `damped_newton`. Not applicable to a problem that states no residuals.

    `damping` is μ at the start. Gauss 1809; Levenberg 1944; Marquardt 1963.
    """

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −(JᵀJ + μI)⁻¹ g, or 0 if that does not lower the loss."""
        return damped_step(oracle, oracle.gauss_newton, state)
