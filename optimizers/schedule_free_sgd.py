"""Schedule-free SGD: a mean of the path that is taken into account while it is walked."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, complement, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("schedule_free_sgd")
@dataclass(frozen=True)
class ScheduleFreeSGD(Optimizer):
    """Gradient descent z, scored at the mean x of its points: s = (z − x)/t at the t-th step.

    Before it, z ← z − lr · g(y), with the gradient between the two, at y = (1 − β) z + β x. With β =
    0 it is Polyak and Ruppert's average, with β = 1 x feeds on its own gradients, and in between the
    path cannot stray as far from its mean. No rate needs to decay under noise, nor a budget to be
    known; without noise old points are dragged along, and fade only like 1/t. That the start is not
    in the mean is as in the authors' code, and so are the defaults. Defazio et al. 2024,
    arXiv:2405.15682, without its warm-up.
    """

    lr: Hyper = hyper(1.0, search=log(1e-5, 1e1, unit="length/gradient"), low=0)
    beta: Hyper = hyper(0.9, search=complement(1e-3, 1.0), low=0, high=1)

    def init(self, x: torch.Tensor) -> State:
        """z = x, and t = 0, a number, for it is the same for all runs."""
        return x, 0

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """From the mean so far to the mean with the next z in it."""
        z, t = state
        x, z, t = oracle.x, oracle.at(z).x, t + 1  # where z really leads
        z = z - self.lr * oracle.at((1 - self.beta) * z + self.beta * x).gradient
        return (z - x) / t, (z, t)
