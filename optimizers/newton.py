"""Newton's method, as in the textbook: attracted by every critical point, whatever its kind."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("newton")
@dataclass(frozen=True)
class Newton(Optimizer):
    """To the point where the quadratic model is flat: s = lr · d, with H d = −g.

    Whether that point is a minimum, a saddle or a maximum, Newton goes there all the same. Where H
    is exactly singular, d is the shortest of the least-squares answers, −H⁺ g: along a flat
    direction the model names no place to go to, and Newton stays. A nearly singular H sends it far
    away: that is the method.
    """

    # The whole step is the method: few are tried far from it.
    lr: Hyper = hyper(1.0, search=log(0.1, 2.0), low=0)

    uses_hessian = True

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """s = −lr · H⁻¹ g."""
        gradient, hessian = oracle.gradient, oracle.hessian
        direction, info = torch.linalg.solve_ex(hessian, -gradient)
        singular = info != 0
        if singular.any():
            direction[singular] = 0.0
            singular &= (gradient != 0).any(-1)  # H⁺ 0 = 0 needs no eigenvalues
            inverse = torch.linalg.pinv(hessian[singular], hermitian=True)
            direction[singular] = -torch.einsum("...ij,...j->...i", inverse, gradient[singular])
        return self.lr * direction, state
