"""Newton's method that leaves saddles."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("saddle_free_newton")
@dataclass(frozen=True)
class SaddleFreeNewton(Optimizer):
    """Newton's method with |H| in place of H, downhill along negative curvature too: s = −lr · (|H| + damping)⁻¹ g.

    |H| = Q |Λ| Qᵀ, with H = Q Λ Qᵀ. Dauphin et al. 2014, arXiv:1406.2572.
    """

    lr: Hyper = hyper(1.0, search=log(0.01, 2.0), low=0)
    damping: Hyper = hyper(0.1, search=log(1e-4, 1.0, unit="gradient/length"), above=0)

    uses_hessian = True

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −lr · (|H| + damping)⁻¹ g."""
        eigenvalues, basis = torch.linalg.eigh(oracle.hessian)
        gradient = torch.einsum("...ij,...i->...j", basis, oracle.gradient)
        scaled = gradient / (eigenvalues.abs() + self.damping)
        return -self.lr * torch.einsum("...ij,...j->...i", basis, scaled), state
