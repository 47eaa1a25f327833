"""Newton's method by conjugate gradients in a trust region, with as few Hessian-vector products as needed."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register
from optimizers.strong_wolfe import dot

FORCING = 0.5  # a residual below this share of |g|, or √(|g|/|g₀|) if less, is small enough
POOR, GOOD, TAKEN = 0.25, 0.75, 0.15  # shares of the predicted gain


@register("newton_cg")
@dataclass(frozen=True)
class NewtonCG(Optimizer):
    """Newton's step by conjugate gradients on H s = −g, stopped at the border of a trust region: |s| ≤ Δ.

    From s = 0, along d = r = −g: s ← s + α d with α = rᵀr / dᵀHd, and so on until |r| is at most
    min(½, √(|g|/|g₀|)) · |g|, where g₀ is the first gradient: so nothing depends on the loss's scale. If that
    leads out of the region, s stops at its border. If dᵀHd ≤ 0 the model falls without end along d, and s is the
    lower of the border's two points on that line. With the gain over the predicted gain, ρ, Δ is quartered if
    ρ < ¼, and doubled if ρ > ¾ and s is on the border; s is taken if ρ > 0.15. A predicted gain below the loss's
    rounding is trusted, and Δ kept.

    `radius` is Δ at the start. There are at most dim iterations: after them only rounding is left.
    Steihaug 1983; Nocedal & Wright 2006, "Numerical Optimization", algorithms 4.1 and 7.2.
    """

    radius: Hyper = hyper(1.0, search=log(1e-2, 1e2, unit="length"), above=0)

    def init(self, x: torch.Tensor) -> State:
        """Return Δ and |g₀|, which is 0 before the first gradient."""
        return self.radius * torch.ones_like(x[..., :1]), torch.zeros_like(x[..., :1])

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the step that lowers the model, or 0 if it does not lower the loss."""
        radius, first = state
        first = torch.where(first > 0, first, oracle.gradient.norm(dim=-1, keepdim=True))
        step, foretold, on_border = truncated_cg(oracle, radius, first)

        visible = foretold > torch.finfo(foretold.dtype).eps * oracle.value.abs()
        after = oracle.at(oracle.x + step, who=visible).value
        ratio = (oracle.value - after) / torch.where(visible, foretold, 1.0)

        limit = torch.finfo(radius.dtype).max ** 0.25  # lengths are squared and multiplied
        larger = torch.where(on_border & (ratio > GOOD), (2 * radius).clamp(max=limit), radius)
        changed = torch.where(ratio < POOR, radius / 4, larger)
        step = torch.where(~visible | (ratio > TAKEN), step, 0.0)
        return step, (torch.where(visible, changed, radius), first)


def truncated_cg(
    oracle: Oracle, radius: torch.Tensor, first: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the step s of conjugate gradients in the trust region, its predicted gain, and the runs on the border.

    Only runs that still go on are charged for a product.

    Args:
        oracle: The current point.
        radius: Δ, (*runs, 1).
        first: |g₀|, the norm of the first gradient, (*runs, 1).

    Returns:
        s (*runs, dim), the gain −gᵀs − ½ sᵀHs (*runs, 1), and a mask of the runs whose s is on the border (*runs, 1).
    """
    gradient = oracle.gradient
    size = gradient.norm(dim=-1, keepdim=True)
    enough = (size / torch.where(first > 0, first, 1.0)).sqrt().clamp(max=FORCING) * size
    step, pushed = torch.zeros_like(gradient), torch.zeros_like(gradient)  # s, and H s
    residual = direction = -gradient
    going = oracle.alive.unsqueeze(-1) & (size > 0)
    on_border = torch.zeros_like(going)
    for _ in range(gradient.shape[-1]):
        if not going.any():
            break
        product = oracle.hvp(torch.where(going, direction, 0.0), who=going)
        curvature, left = dot(direction, product), dot(residual, residual)
        falls = curvature <= 0
        length = left / torch.where(falls, 1.0, curvature)
        leaves = falls | ((step + length * direction).norm(dim=-1, keepdim=True) >= radius)

        near, far = _border(step, direction, radius)
        # Along d the model changes by −τ rᵀr + ½ τ² dᵀHd.
        behind = near * (0.5 * near * curvature - left) < far * (0.5 * far * curvature - left)
        length = torch.where(leaves, torch.where(falls & behind, near, far), length)

        step = torch.where(going, step + length * direction, step)
        pushed = torch.where(going, pushed + length * product, pushed)
        on_border = on_border | (going & leaves)
        before, residual = left, torch.where(going, residual - length * product, residual)
        left = dot(residual, residual)
        going = going & ~leaves & (left.sqrt() >= enough)
        direction = residual + left / torch.where(going, before, 1.0) * direction
    return step, -dot(step, gradient + 0.5 * pushed), on_border


def _border(
    step: torch.Tensor, direction: torch.Tensor, radius: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the τ < 0 and the τ > 0 for which |s + τ d| is the radius."""
    square, along = dot(direction, direction), dot(step, direction)
    inside = (radius**2 - dot(step, step)).clamp(min=0.0)
    root = (along**2 + square * inside).sqrt()
    # The root in which nothing cancels; the product of both roots is −inside / square.
    large = along + torch.where(along < 0, -root, root)
    some = torch.where(large == 0, 1.0, large)
    one, other = -large / torch.where(square > 0, square, 1.0), inside / some
    return torch.minimum(one, other), torch.maximum(one, other)
