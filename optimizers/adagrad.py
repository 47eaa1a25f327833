"""AdaGrad: the gradient divided by the root of the sum of its squares so far."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("adagrad")
@dataclass(frozen=True)
class Adagrad(Optimizer):
    """AdaGrad: each coordinate's gradient divided by the root of its sum of squares: s = −lr · g / (√v + eps).

    v ← v + g², from v = 0: the first step is lr · sign(g). As v never shrinks, the steps fall at least like
    1/√t if the gradients do not: noise averages out, but after a steep start progress stays slow.
    Duchi, Hazan & Singer 2011, Journal of Machine Learning Research 12. The defaults and the place of eps are
    torch.optim.Adagrad's.
    """

    lr: Hyper = hyper(1e-2, search=log(1e-5, 1e1, unit="length"), low=0)
    eps: Hyper = hyper(1e-10, low=0)

    def init(self, x: torch.Tensor) -> State:
        """Return v = 0."""
        return (torch.zeros_like(x),)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −lr · g / (√v + eps)."""
        (square,) = state
        gradient = oracle.gradient
        square = square + gradient**2
        return -self.lr * gradient / (square.sqrt() + self.eps), (square,)
