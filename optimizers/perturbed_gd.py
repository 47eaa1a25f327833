"""Gradient descent that shakes itself off where it is nearly at rest."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("perturbed_gd")
@dataclass(frozen=True)
class PerturbedGD(Optimizer):
    """Gradient descent, and a random step where the gradient is small: s = −lr · g, or s = ξ.

    ξ is uniform in the ball of this radius, and comes where |g| ≤ gradient_threshold · radius/lr and
    more than `waiting` gradient steps have been taken since the last one. A saddle holds it up no longer
    than ξ takes to grow, however near to the ridge it came. But where the gradient is small there
    may also be a minimum or a plateau: it is shaken there too, and rests nowhere.

    The threshold is in units of radius/lr, so that the search does not change when the loss
    or the space is rescaled. In Jin, Ge, Netrapalli, Kakade & Jordan 2017, arXiv:1703.00887, it is
    lr · ℓ, for a smoothness ℓ. Their rule to stop where a perturbation has not lowered the loss is
    left out, and ξ, which is part of a gradient step there, is a step of its own: at the same price,
    for the gradient at x + ξ is that of the next. They name no values; lr is torch.optim.SGD's.
    """

    lr: Hyper = hyper(1e-3, search=log(1e-5, 1e1, unit="length/gradient"), low=0)
    radius: Hyper = hyper(1e-2, search=log(1e-5, 1e1, unit="length"), low=0)
    gradient_threshold: Hyper = hyper(0.1, low=0)
    waiting: int = hyper(10, low=0)

    moves_at_rest = True

    def init(self, x: torch.Tensor) -> State:
        """How many gradient steps ago the last random one was (*runs, 1): long enough."""
        return (torch.full_like(x[..., :1], self.waiting + 1),)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """s = ξ where it is due, else −lr · g. Numbers are drawn at each step: runs share them."""
        (since,) = state
        gradient, shake = oracle.gradient, self.radius * in_unit_ball(oracle.normal())
        norm = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
        due = (since > self.waiting) & (self.lr * norm <= self.gradient_threshold * self.radius)
        step = torch.where(due, shake, -self.lr * gradient)
        return step, (torch.where(due, 0.0, since + 1),)


def in_unit_ball(normal: torch.Tensor) -> torch.Tensor:
    """A uniform point of the unit ball (…, dim) from standard normal numbers n: n/|n| · U^(1/dim).

    Of n, the direction is uniform and independent of the length, whose square is χ² with dim degrees
    of freedom: U = P(dim/2, |n|²/2), its own distribution function there, is uniform in [0, 1].
    """
    half = normal.new_tensor(normal.shape[-1] / 2)
    share = torch.special.gammainc(half, normal.square().sum(-1, keepdim=True) / 2)
    return torch.nn.functional.normalize(normal, dim=-1) * share ** (1 / normal.shape[-1])
