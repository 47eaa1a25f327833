"""Saddle-free Newton in a few dimensions, for networks whose Hessian is too large to compute."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.lanczos import lanczos
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("krylov_saddle_free_newton")
@dataclass(frozen=True)
class KrylovSaddleFreeNewton(Optimizer):
    """Saddle-free Newton from k Hessian-vector products per step: s = −lr · Vᵀ (|T| + damping)⁻¹ V g.

    The rows of V are an orthonormal basis of the Krylov space of g, H g, …, Hᵏ⁻¹ g, and T = V H Vᵀ, from
    k = `subspace` steps of Lanczos. |T| has the absolute values of T's eigenvalues. A step costs 1 + 2k, whatever
    the dimension; with k = dim it is that of `saddle_free_newton`.

    Components outside of the subspace do not move. A few products find the largest curvatures, of either sign, but
    not the smallest ones, which dominate |H|⁻¹ g: damping hides the difference. Nothing checks what a step gains,
    and with little damping one step can throw a run far off.

    Dauphin et al. 2014, arXiv:1406.2572, whose subspace also has the previous step: that gained
    nothing here.
    """

    lr: Hyper = hyper(1.0, search=log(0.01, 2.0), low=0)
    damping: Hyper = hyper(0.1, search=log(1e-4, 1.0, unit="gradient/length"), above=0)
    subspace: int = hyper(5, low=1)

    def vectors(self, dim: int) -> int:
        return min(self.subspace, dim)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −lr · Vᵀ (|T| + damping)⁻¹ V g."""
        steps = min(self.subspace, oracle.x.shape[-1])
        basis, matrix = lanczos(oracle.hvp, oracle.gradient, steps, oracle.alive.unsqueeze(-1))
        curvatures, axes = torch.linalg.eigh(matrix)
        ritz = torch.einsum("...kj,...ki->...ji", axes, basis)
        gradient = torch.einsum("...ji,...i->...j", ritz, oracle.gradient)
        scaled = gradient / (curvatures.abs() + self.damping)
        return -self.lr * torch.einsum("...ji,...j->...i", ritz, scaled), state
