"""Controls: methods that a useful problem defeats."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("idle")
@dataclass(frozen=True)
class Idle(Optimizer):
    """Stays at the start and evaluates nothing: s = 0. It solves only what is solved at the start."""

    role = "control"

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = 0."""
        return torch.zeros_like(oracle.x), state


@register("random_search")
@dataclass(frozen=True)
class RandomSearch(Optimizer):
    """Random search: try a step s ~ radius · N(0, I), and take it if it lowers the loss.

    An evolution strategy with one parent, one child and a constant radius: Rechenberg 1973. It compares with
    the value seen on arrival, so under noise one lucky draw may hold it for long.
    """

    radius: Hyper = hyper(0.1, search=log(1e-5, 1e1, unit="length"), low=0)

    role = "control"

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s if f(x + s) < f(x), else 0."""
        value = state[0] if state else oracle.value
        step = self.radius * oracle.normal()
        trial = oracle.at(oracle.x + step).value
        better = trial < value
        return torch.where(better, step, 0.0), (torch.where(better, trial, value),)
