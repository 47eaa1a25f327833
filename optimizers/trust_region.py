"""Newton's method within a radius in which its model has been right."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register
from optimizers.secular import shifted_step


@register("trust_region")
@dataclass(frozen=True)
class TrustRegion(Optimizer):
    """Newton's method within a trust region: the best step of the quadratic model, min gᵀs + ½ sᵀHs, |s| ≤ Δ.

    s = −(H + λI)⁻¹ g with the λ ≥ max(0, −λ_min) that gives it the length Δ; λ = 0 if Newton's own step is shorter
    and H positive definite. The step is taken if it gains more than 0.15 of what the model predicts; below ¼, Δ is
    quartered, and above ¾, on the border, it doubles. So it leaves a strict saddle even if g is 0 or has no component
    along a direction of negative curvature; if H has no such direction and g = 0, it stays. Of two such directions that
    are equally good it takes one.

    `radius` is Δ at the start. Moré & Sorensen 1983, "Computing a trust region step"; the rule for Δ
    is that of Nocedal & Wright's "Numerical Optimization", algorithm 4.1.
    """

    radius: Hyper = hyper(1.0, search=log(1e-2, 1e1, unit="length"), above=0)

    uses_hessian = True

    def init(self, x: torch.Tensor) -> State:
        """Return Δ, (*runs, 1)."""
        return (self.radius * torch.ones_like(x[..., :1]),)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the model's minimizer within Δ, or 0 if it gains too little of what the model predicts."""
        (radius,) = state
        eigenvalues, basis = torch.linalg.eigh(oracle.hessian)
        gradient = torch.einsum("...ij,...i->...j", basis, oracle.gradient)
        along, shift = shifted_step(eigenvalues, gradient, radius)
        foretold = 0.5 * (along * (shift * along - gradient)).sum(-1, keepdim=True)
        step = torch.einsum("...ij,...j->...i", basis, along)

        ratio = gain_ratio(oracle, step, foretold)
        wider = torch.where((ratio > 0.75) & (shift > 0), 2 * radius, radius)
        radius = torch.where(ratio < 0.25, radius / 4, wider)
        return torch.where(ratio > 0.15, step, 0.0), (within_range(radius),)


def gain_ratio(oracle: Oracle, step: torch.Tensor, foretold: torch.Tensor) -> torch.Tensor:
    """Return the gain of a step over its predicted gain: 1 if the loss's rounding hides both.

    As in Conn, Gould & Toint 2000, "Trust-Region Methods".

    Args:
        oracle: The current point.
        step: The step, (*runs, dim).
        foretold: The predicted gain, (*runs, 1); runs with a positive one are charged for a loss.

    Returns:
        The ratio, (*runs, 1).
    """
    value = oracle.value
    hidden = 10 * torch.finfo(value.dtype).eps * value.abs()
    gained = value - oracle.at(oracle.x + step, who=foretold > 0).value
    return (gained + hidden) / (foretold + hidden)


def within_range(size: torch.Tensor) -> torch.Tensor:
    """Return the number, or the nearest one whose square neither overflows nor vanishes."""
    least = torch.finfo(size.dtype).tiny ** (1 / 3)
    return size.clamp(least, 1 / least)
