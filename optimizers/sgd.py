"""Gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("sgd")
@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent: s = −lr · g.

    g is the gradient that the optimizer sees. On a quadratic it converges if lr < 2/λmax, and at best each step
    leaves (κ − 1)/(κ + 1) of the error. Cauchy 1847; with noise Robbins & Monro 1951. The default is
    torch.optim.SGD's.
    """

    lr: Hyper = hyper(1e-3, search=log(1e-5, 1e1, unit="length/gradient"), low=0)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −lr · g."""
        return -self.lr * oracle.gradient, state

    def stability(
        self, state: State, gradient: torch.Tensor, progress: float | torch.Tensor
    ) -> torch.Tensor:
        """Return lr/2: the limit is 2/λ."""
        return self.lr / 2 * torch.ones_like(gradient[..., :1])
