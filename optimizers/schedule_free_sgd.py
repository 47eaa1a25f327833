"""Schedule-free SGD: gradients are taken near the mean of the iterates, which is also the answer."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, complement, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("schedule_free_sgd")
@dataclass(frozen=True)
class ScheduleFreeSGD(Optimizer):
    """Schedule-free SGD: gradient descent on z, scored at the mean x of its points: s = (z − x)/t at step t.

    First z ← z − lr · g(y), with the gradient between the two, at y = (1 − β) z + β x. With β = 0 this is Polyak
    and Ruppert's average, with β = 1 x uses the gradients at itself; in between z cannot move as far from the mean.
    Under noise it needs neither a decay of the rate nor a known budget; without noise old points slow it down, and
    fade only like 1/t. The start is not in the mean, as in the authors' code, which the defaults are from too.
    Defazio et al. 2024, arXiv:2405.15682, without its warm-up.
    """

    lr: Hyper = hyper(1.0, search=log(1e-5, 1e1, unit="length/gradient"), low=0)
    beta: Hyper = hyper(0.9, search=complement(1e-3, 1.0), low=0, high=1)

    def init(self, x: torch.Tensor) -> State:
        """Return z = x and t = 0; t is a number, as all runs share it."""
        return x, 0

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the step from the mean so far to the mean with the next z in it."""
        z, t = state
        x, z, t = oracle.x, oracle.at(z).x, t + 1  # z may have been projected
        z = z - self.lr * oracle.at((1 - self.beta) * z + self.beta * x).gradient
        return (z - x) / t, (z, t)
