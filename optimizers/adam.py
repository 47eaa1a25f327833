"""Adam: a step about as long as the learning rate, whatever the gradient's scale."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("adam")
@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam: the mean gradient divided by its root mean square, per coordinate: s = −lr · m̂ / (√v̂ + eps).

    m ← β₁ m + (1 − β₁) g and v ← β₂ v + (1 − β₂) g², from 0, with m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ).
    Invariant to the gradient's scale down to eps, but not to rotations. Kingma & Ba 2015, arXiv:1412.6980.
    The defaults and the place of eps are torch.optim.Adam's.
    """

    lr: Hyper = hyper(1e-3, search=log(1e-5, 1e1, unit="length"), low=0)
    beta1: Hyper = hyper(0.9, low=0, below=1)
    beta2: Hyper = hyper(0.999, low=0, below=1)
    eps: Hyper = hyper(1e-8, low=0)

    def init(self, x: torch.Tensor) -> State:
        """Return m = v = 0 and t = 0; t is a number, as all runs share it."""
        return torch.zeros_like(x), torch.zeros_like(x), 0

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −lr · m̂ / (√v̂ + eps)."""
        mean, square, t = state
        gradient, t = oracle.gradient, t + 1
        mean = (self.beta1 * mean).add_((1 - self.beta1) * gradient)
        square = (self.beta2 * square).add_(gradient.square().mul_(1 - self.beta2))
        root = (square / (1 - self.beta2**t)).sqrt_()
        step = (-self.lr / (1 - self.beta1**t) * mean).div_(root.add_(self.eps))
        return step, (mean, square, t)

    def stability(
        self, state: State, gradient: torch.Tensor, progress: float | torch.Tensor
    ) -> torch.Tensor:
        """Return lr P⁻¹ over the limit (2 + 2β₁)/(1 − β₁) of a heavy ball, with P = diag(√v̂ + eps).

        The limit is 38 at β₁ = 0.9. Cohen et al. 2022, arXiv:2207.14484.
        """
        _, square, t = state
        return self._share(square, t)

    def _share(self, square: torch.Tensor, t: int) -> torch.Tensor:
        root = (square / (1 - self.beta2**t)).sqrt()
        return self.lr * (1 - self.beta1) / (2 * (1 + self.beta1)) / (root + self.eps)
