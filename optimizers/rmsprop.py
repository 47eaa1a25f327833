"""RMSProp: the gradient divided by its recent root mean square."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("rmsprop")
@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSProp: each coordinate's gradient divided by its recent root mean square: s = −lr · g / (√v + eps).

    v ← alpha · v + (1 − alpha) g², from v = 0 without bias correction: the first step is lr/√(1 − alpha) long in
    each coordinate, ten times lr. Hinton 2012, lecture 6e. The defaults and the place of eps are
    torch.optim.RMSprop's.
    """

    lr: Hyper = hyper(1e-2, search=log(1e-5, 1e1, unit="length"), low=0)
    alpha: Hyper = hyper(0.99, low=0, below=1)
    eps: Hyper = hyper(1e-8, low=0)

    def init(self, x: torch.Tensor) -> State:
        """Return v = 0."""
        return (torch.zeros_like(x),)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −lr · g / (√v + eps)."""
        (square,) = state
        gradient = oracle.gradient
        square = self.alpha * square + (1 - self.alpha) * gradient**2
        return -self.lr * gradient / (square.sqrt() + self.eps), (square,)

    def stability(
        self, state: State, gradient: torch.Tensor, progress: float | torch.Tensor
    ) -> torch.Tensor:
        """Return lr P⁻¹/2 with P = diag(√v + eps). Cohen et al. 2022, arXiv:2207.14484."""
        (square,) = state
        return self.lr / (2 * (square.sqrt() + self.eps))
