"""Newton's method with Levenberg–Marquardt damping."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register

GROWTHS = 30  # at most this many in a step, by 2, 4, 8, …: beyond any curvature


@register("damped_newton")
@dataclass(frozen=True)
class DampedNewton(Optimizer):
    """Newton's method with Levenberg–Marquardt damping μ, which shortens poor steps: (H + μI) s = −g.

    The step is taken if it lowers the loss; μ is then multiplied by max(⅓, 1 − (2ρ − 1)³), where ρ is the gain
    over the predicted gain. Otherwise the run stays, and μ is multiplied by 2, then by 4, 8, … until a step is
    taken. If H + μI is not positive definite the model has no minimum, and μ grows in the same way, without
    evaluating the loss, until it has one. A predicted gain below the loss's rounding is trusted, and μ kept.

    `damping` is μ at the start, a curvature. Levenberg 1944, Marquardt 1963; the rule for μ is
    Nielsen's (1999), as in Madsen, Nielsen & Tingleff 2004, "Methods for non-linear least squares
    problems".
    """

    damping: Hyper = hyper(0.1, search=log(1e-4, 1e1, unit="gradient/length"), above=0)

    uses_hessian = True

    def init(self, x: torch.Tensor) -> State:
        """Return μ and the factor by which it grows next, each (*runs, 1)."""
        each = torch.ones_like(x[..., :1])
        return self.damping * each, 2 * each

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −(H + μI)⁻¹ g, or 0 if that does not lower the loss."""
        return damped_step(oracle, oracle.hessian, state)


def damped_step(
    oracle: Oracle, curvature: torch.Tensor, state: State
) -> tuple[torch.Tensor, State]:
    """Return s = −(H + μI)⁻¹ g, or 0 if that does not lower the loss, and the next state.

    Args:
        oracle: The current point.
        curvature: H, or a matrix in its place, (*runs, dim, dim).
        state: μ and the factor by which it grows next, each (*runs, 1).

    Returns:
        The step (*runs, dim), and the next state.
    """
    damping, growth = state
    gradient, value = oracle.gradient, oracle.value
    lower, negative = _factor(curvature, damping)
    for _ in range(GROWTHS):
        if not negative.any():
            break
        damping = torch.where(negative, damping * growth, damping)
        growth = torch.where(negative, 2 * growth, growth)
        lower, negative = _factor(curvature, damping)
    step = -torch.cholesky_solve(gradient.unsqueeze(-1), lower).squeeze(-1)
    step = torch.where(negative, 0.0, step)

    foretold = 0.5 * (step * (damping * step - gradient)).sum(-1, keepdim=True)
    visible = foretold > torch.finfo(value.dtype).eps * value.abs()
    ratio = (value - oracle.at(oracle.x + step, who=visible).value) / foretold
    taken = ~visible | (ratio > 0)

    calmer = damping * (1 - (2 * ratio - 1) ** 3).clamp(min=1 / 3)
    damping = torch.where(taken, torch.where(visible, calmer, damping), damping * growth)
    growth = torch.where(taken, 2.0, 2 * growth)
    tiny = torch.finfo(damping.dtype).tiny  # a damping of 0 could never grow again
    return torch.where(taken, step, 0.0), (damping.clamp(min=tiny), growth)


def _factor(curvature: torch.Tensor, damping: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return Cholesky's factor of H + μI, and which runs have none (*runs, 1)."""
    shift = torch.diag_embed(damping.expand(curvature.shape[:-1]))
    lower, info = torch.linalg.cholesky_ex(curvature + shift)
    return lower, (info != 0).unsqueeze(-1)
