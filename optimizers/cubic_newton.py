"""Newton's method with a penalty on the cube of the step's length."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register
from optimizers.secular import shifted_step
from optimizers.trust_region import gain_ratio, within_range


@register("cubic_newton")
@dataclass(frozen=True)
class CubicNewton(Optimizer):
    """Newton's method with a cubic penalty on the step's length: min gᵀs + ½ sᵀHs + (M/6) |s|³.

    s = −(H + λI)⁻¹ g with λ = M|s|/2 ≥ −λ_min. If the Hessian changes by at most M per unit of length, the model
    is an upper bound of the loss, and the loss falls with each step; with M too small the model predicts gains that
    do not occur. So M adapts: the step is taken if it gains more than 0.1 of the predicted gain, else M doubles;
    above 0.9, M is divided by 3 if the cubic term contributed to the prediction: if not, the gain says nothing
    about M. Like a trust region it leaves strict saddles from everywhere.

    `cubic` is M at the start. Nesterov & Polyak 2006, "Cubic regularization of Newton method and its
    global performance"; the rule for M is of the kind of Cartis, Gould & Toint 2011, "Adaptive cubic
    regularisation methods for unconstrained optimization".
    """

    cubic: Hyper = hyper(1.0, search=log(1e-3, 1e2, unit="gradient/length^2"), above=0)

    uses_hessian = True

    def init(self, x: torch.Tensor) -> State:
        """Return M, (*runs, 1)."""
        return (self.cubic * torch.ones_like(x[..., :1]),)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the model's minimizer, or 0 if it gains too little of what the model predicts."""
        (cubic,) = state
        eigenvalues, basis = torch.linalg.eigh(oracle.hessian)
        gradient = torch.einsum("...ij,...i->...j", basis, oracle.gradient)
        along, shift = shifted_step(eigenvalues, gradient, radius=0.0, slope=2 / cubic)
        held = shift * along.square().sum(-1, keepdim=True) / 3  # (M/6) |s|³
        foretold = 0.5 * (held - (along * gradient).sum(-1, keepdim=True))
        step = torch.einsum("...ij,...j->...i", basis, along)

        ratio = gain_ratio(oracle, step, foretold)
        calmer = torch.where((ratio > 0.9) & (held > 0.01 * foretold), cubic / 3, cubic)
        cubic = torch.where(ratio < 0.1, 2 * cubic, calmer)
        return torch.where(ratio > 0.1, step, 0.0), (within_range(cubic),)
