"""Heavy-ball and Nesterov momentum, in torch's form."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, complement, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("momentum")
@dataclass(frozen=True)
class Momentum(Optimizer):
    """SGD with heavy-ball momentum: v ← momentum · v + g, s = −lr · v.

    Gradients add up where they agree, and cancel where they do not. From v = 0; at a constant rate this is
    x_{t+1} = x_t − lr · g + momentum · (x_t − x_{t−1}), Polyak 1964. The defaults are torch.optim.SGD's except
    for the momentum, which is 0 there.
    """

    lr: Hyper = hyper(
        1e-3, search=log(1e-5, 1e1, unit="length/gradient", discount="momentum"), low=0
    )
    momentum: Hyper = hyper(0.9, search=complement(1e-3, 1.0), low=0, below=1)

    def init(self, x: torch.Tensor) -> State:
        """Return v = 0."""
        return (torch.zeros_like(x),)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −lr · v."""
        (velocity,) = state
        velocity = self.momentum * velocity + oracle.gradient
        return -self.lr * velocity, (velocity,)

    def stability(
        self, state: State, gradient: torch.Tensor, progress: float | torch.Tensor
    ) -> torch.Tensor:
        """Return lr/2(1 + momentum): the limit is 2(1 + momentum)/λ. Cohen et al. 2021, arXiv:2103.00065."""
        return self.lr / (2 * (1 + self.momentum)) * torch.ones_like(gradient[..., :1])


@register("nesterov")
@dataclass(frozen=True)
class Nesterov(Momentum):
    """SGD with Nesterov momentum, which looks ahead: v ← momentum · v + g, s = −lr · (g + momentum · v).

    Nesterov 1983 steps from x_t and takes the gradient at y_t = x_t + momentum · (x_t − x_{t−1}); here, as in
    torch.optim.SGD, the point that is stored and scored *is* y_t, and a bound on f(x_t) does not apply to it. The
    defaults are momentum's.
    """

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −lr · (g + momentum · v)."""
        (velocity,) = state
        gradient = oracle.gradient
        velocity = self.momentum * velocity + gradient
        return -self.lr * (gradient + self.momentum * velocity), (velocity,)

    def stability(
        self, state: State, gradient: torch.Tensor, progress: float | torch.Tensor
    ) -> torch.Tensor:
        """Return lr (1 + 2 momentum)/2(1 + momentum): looking ahead lowers the limit. Cohen et al. 2021."""
        return super().stability(state, gradient, progress) * (1 + 2 * self.momentum)
