"""Lion: the sign of a momentum, found by a search over programs."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.optimizer import Optimizer, Oracle, State, log_uniform
from optimizers.registry import register


@register("lion")
@dataclass(frozen=True)
class Lion(Optimizer):
    """Signs of a mean in which the newest gradient counts more: s = −lr · (sign(u) + weight_decay · x).

    u = β₁ m + (1 − β₁) g, and then m ← β₂ m + (1 − β₂) g, from m = 0. sign(0) = 0. All its steps are
    lr long in each coordinate: it overshoots by many times that, as its mean reaches far back, and
    ends in a cycle about lr wide. Chen et al. 2023, arXiv:2302.06675. The defaults are those of the
    authors' code.
    """

    lr: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0

    space = {"lr": log_uniform(1e-5, 1e1, unit="length")}
    bounds = {
        "lr": {"low": 0.0},
        "beta1": {"low": 0.0, "high": 1.0, "open_high": True},
        "beta2": {"low": 0.0, "high": 1.0, "open_high": True},
        "weight_decay": {"low": 0.0},
    }

    def init(self, x: torch.Tensor) -> State:
        """m = 0."""
        return (torch.zeros_like(x),)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """s = −lr · (sign(u) + weight_decay · x)."""
        (mean,) = state
        gradient = oracle.gradient
        sign = (self.beta1 * mean + (1 - self.beta1) * gradient).sign()
        mean = self.beta2 * mean + (1 - self.beta2) * gradient
        return -self.lr * (sign + self.weight_decay * oracle.x), (mean,)
