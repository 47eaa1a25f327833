"""AMSGrad: Adam that remembers the largest mean square of the gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.adam import Adam
from optimizers.optimizer import Oracle, State
from optimizers.registry import register


@register("amsgrad")
@dataclass(frozen=True)
class AMSGrad(Adam):
    """Adam divided by the largest root mean square so far: s = −lr · m̂ / (√v̂ + eps), v̂ = max v/(1 − β₂ᵗ).

    m, m̂ and v are Adam's. A rare large gradient keeps its weight, where Adam forgets it; one that is much too
    large slows all later steps. Reddi, Kale & Kumar 2018, arXiv:1904.09237, correct neither m nor v for its
    start at 0 and have no eps. This correction of the largest v, and the defaults, are those of torch.optim.Adam
    with amsgrad=True.
    """

    def init(self, x: torch.Tensor) -> State:
        """Return Adam's state with the largest v so far, 0."""
        mean, square, t = super().init(x)
        return mean, square, torch.zeros_like(x), t

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −lr · m̂ / (√v̂ + eps)."""
        mean, square, largest, t = state
        gradient, t = oracle.gradient, t + 1
        mean = self.beta1 * mean + (1 - self.beta1) * gradient
        square = self.beta2 * square + (1 - self.beta2) * gradient**2
        largest = torch.maximum(largest, square)
        root = (largest / (1 - self.beta2**t)).sqrt()
        step = -self.lr / (1 - self.beta1**t) * mean / (root + self.eps)
        return step, (mean, square, largest, t)

    def stability(
        self, state: State, gradient: torch.Tensor, progress: float | torch.Tensor
    ) -> torch.Tensor:
        """Return Adam's value with the largest v̂ so far."""
        _, _, largest, t = state
        return self._share(largest, t)
