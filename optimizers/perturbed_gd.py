"""Gradient descent with random steps where the gradient is small."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("perturbed_gd")
@dataclass(frozen=True)
class PerturbedGD(Optimizer):
    """Gradient descent with a random step ξ where the gradient is small: s = −lr · g, or s = ξ.

    ξ is uniform in the ball of this radius, and is taken if |g| ≤ gradient_threshold · radius/lr and more than
    `waiting` gradient steps have been taken since the last one. A saddle delays it only for as long as ξ takes to
    grow, however near to the ridge it is. But the gradient is small at a minimum and on a plateau, too: it is moved
    there as well, and never comes to rest.

    The threshold is in units of radius/lr, so that the search does not change when the loss or the space is
    rescaled. In Jin, Ge, Netrapalli, Kakade & Jordan 2017, arXiv:1703.00887, it is lr · ℓ, for a smoothness ℓ. Their
    rule to stop if a perturbation has not lowered the loss is left out, and ξ, which is part of a gradient step
    there, is a step of its own here, at the same price: the gradient at x + ξ is that of the next step. They give no
    values; lr is torch.optim.SGD's.
    """

    lr: Hyper = hyper(1e-3, search=log(1e-5, 1e1, unit="length/gradient"), low=0)
    radius: Hyper = hyper(1e-2, search=log(1e-5, 1e1, unit="length"), low=0)
    gradient_threshold: Hyper = hyper(0.1, low=0)
    waiting: int = hyper(10, low=0)

    moves_at_rest = True

    def init(self, x: torch.Tensor) -> State:
        """Return the number of gradient steps since the last random one (*runs, 1): enough for another."""
        return (torch.full_like(x[..., :1], self.waiting + 1),)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = ξ if it is due, else −lr · g. ξ is drawn at each step, as runs share the random numbers."""
        (since,) = state
        gradient, shake = oracle.gradient, self.radius * in_unit_ball(oracle.normal())
        norm = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
        due = (since > self.waiting) & (self.lr * norm <= self.gradient_threshold * self.radius)
        step = torch.where(due, shake, -self.lr * gradient)
        return step, (torch.where(due, 0.0, since + 1),)


def in_unit_ball(normal: torch.Tensor) -> torch.Tensor:
    """Return a uniform point of the unit ball from standard normal numbers n: n/|n| · U^(1/dim).

    The direction of n is uniform and independent of its length, whose square is χ² with dim degrees of freedom:
    so U = P(dim/2, |n|²/2), the distribution function of that square, is uniform in [0, 1].

    Args:
        normal: n, (…, dim).

    Returns:
        The point, (…, dim).
    """
    half = normal.new_tensor(normal.shape[-1] / 2)
    share = torch.special.gammainc(half, normal.square().sum(-1, keepdim=True) / 2)
    return torch.nn.functional.normalize(normal, dim=-1) * share ** (1 / normal.shape[-1])
