"""Newton's method, as in the textbook: every kind of critical point attracts it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("newton")
@dataclass(frozen=True)
class Newton(Optimizer):
    """Newton's method, to the critical point of the quadratic model: s = lr · d, with H d = −g.

    Minima, saddles and maxima attract it alike. If H is exactly singular, d is the shortest least-squares
    solution, −H⁺ g: along a flat direction Newton does not move. A nearly singular H sends it far away, as the
    method says.
    """

    # Newton's method has lr = 1; only noise asks for much less.
    lr: Hyper = hyper(1.0, search=log(0.01, 2.0), low=0)

    uses_hessian = True

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −lr · H⁻¹ g."""
        gradient, hessian = oracle.gradient, oracle.hessian
        direction, info = torch.linalg.solve_ex(hessian, -gradient)
        singular = info != 0
        if singular.any():
            direction[singular] = 0.0
            singular &= (gradient != 0).any(-1)  # H⁺ 0 = 0 needs no eigenvalues
            inverse = torch.linalg.pinv(hessian[singular], hermitian=True)
            direction[singular] = -torch.einsum("...ij,...j->...i", inverse, gradient[singular])
        return self.lr * direction, state
