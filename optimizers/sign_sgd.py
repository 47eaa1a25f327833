"""Gradient descent along the signs of the gradient alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("sign_sgd")
@dataclass(frozen=True)
class SignSGD(Optimizer):
    """Gradient descent along the sign of each coordinate's gradient: s = −lr · sign(g), with sign(0) = 0.

    Invariant to the scale of each coordinate, but not to rotations; it ends in a cycle of amplitude up to lr. Under
    noise it follows the more frequent sign: if that is not the sign of the mean, it climbs. Bernstein, Wang,
    Azizzadenesheli & Anandkumar 2018, arXiv:1802.04434. The default is torch.optim.Adam's, whose first step this is.
    """

    lr: Hyper = hyper(1e-3, search=log(1e-5, 1e1, unit="length"), low=0)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −lr · sign(g)."""
        return -self.lr * oracle.gradient.sign(), state
