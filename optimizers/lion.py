"""Lion: the sign of a momentum, found by program search."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("lion")
@dataclass(frozen=True)
class Lion(Optimizer):
    """Lion: steps along the sign of a momentum u: s = −lr · (sign(u) + weight_decay · x).

    u = β₁ m + (1 − β₁) g, and then m ← β₂ m + (1 − β₂) g, from m = 0: with β₁ < β₂ the newest gradient weighs
    more in u than in m. sign(0) = 0. Each step is lr long in each coordinate: it overshoots by many times that,
    because its mean reaches far back, and ends in a cycle about lr wide. Chen et al. 2023, arXiv:2302.06675. The
    defaults are those of the authors' code.
    """

    lr: Hyper = hyper(1e-4, search=log(1e-5, 1e1, unit="length"), low=0)
    beta1: Hyper = hyper(0.9, low=0, below=1)
    beta2: Hyper = hyper(0.99, low=0, below=1)
    weight_decay: Hyper = hyper(0.0, low=0)

    def init(self, x: torch.Tensor) -> State:
        """Return m = 0."""
        return (torch.zeros_like(x),)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −lr · (sign(u) + weight_decay · x)."""
        (mean,) = state
        gradient = oracle.gradient
        sign = (self.beta1 * mean + (1 - self.beta1) * gradient).sign()
        mean = self.beta2 * mean + (1 - self.beta2) * gradient
        return -self.lr * (sign + self.weight_decay * oracle.x), (mean,)
