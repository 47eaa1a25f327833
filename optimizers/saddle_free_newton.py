"""Newton's method that leaves saddles."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.optimizer import Optimizer, Oracle, State, log_uniform
from optimizers.registry import register


@register("saddle_free_newton")
@dataclass(frozen=True)
class SaddleFreeNewton(Optimizer):
    """Newton's step with |H| for H: downhill along negative curvature too.

    s = −lr · Q (|Λ| + damping)⁻¹ Qᵀ g, with H = Q Λ Qᵀ. Dauphin et al. 2014, arXiv:1406.2572.
    """

    lr: float = 1.0
    damping: float = 0.1

    space = {
        "lr": log_uniform(0.1, 2.0),
        "damping": log_uniform(1e-4, 1.0, unit="gradient/length"),
    }
    bounds = {"lr": {"low": 0.0}, "damping": {"low": 0.0, "open_low": True}}
    uses_hessian = True

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """s = −lr · (|H| + damping)⁻¹ g."""
        eigenvalues, basis = torch.linalg.eigh(oracle.hessian)
        gradient = torch.einsum("...ij,...i->...j", basis, oracle.gradient)
        scaled = gradient / (eigenvalues.abs() + self.damping)
        return -self.lr * torch.einsum("...ij,...j->...i", basis, scaled), state
