"""Newton's method, held back by a cube of the step's length."""

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
    """To the best point of a model that bounds the loss: min gᵀs + ½ sᵀHs + (M/6) |s|³.

    s = −(H + λI)⁻¹ g with λ = M|s|/2 ≥ −λ_min. Where the Hessian changes by at most M for each unit
    of length the model is above the loss, and the loss falls with each step; too small an M foretells
    gains that are not there. So M adapts: the step is taken where it gains more than 0.1 of what was
    foretold, else M doubles; above 0.9 it becomes a third, where the cube had a part in the gain:
    where it had none, nothing was learned of it. Like a trust region it leaves strict saddles from
    everywhere.

    `cubic` is M at the start. Nesterov & Polyak 2006, "Cubic regularization of Newton method and its
    global performance"; the rule for M is of the kind of Cartis, Gould & Toint 2011, "Adaptive cubic
    regularisation methods for unconstrained optimization".
    """

    cubic: Hyper = hyper(1.0, search=log(1e-3, 1e2, unit="gradient/length^2"), above=0)

    uses_hessian = True

    def init(self, x: torch.Tensor) -> State:
        """M."""
        return (self.cubic * torch.ones_like(x[..., :1]),)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """The model's minimizer, or 0 where that does not keep what it promises."""
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
