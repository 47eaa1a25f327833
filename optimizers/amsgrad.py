"""AMSGrad: Adam that does not forget how large the gradients were."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.adam import Adam
from optimizers.optimizer import Oracle, State
from optimizers.registry import register


@register("amsgrad")
@dataclass(frozen=True)
class AMSGrad(Adam):
    """Adam over the largest root mean square so far: s = −lr · m̂ / (√v̂ + eps), v̂ = max v/(1 − β₂ᵗ).

    m, m̂ and v are Adam's. Rare large gradients count for what they are worth, where Adam forgets
    them; one that is much too large is not forgiven either. Reddi, Kale & Kumar 2018,
    arXiv:1904.09237, who correct neither m nor v for its start and have no eps. That correction of
    the largest v, and the defaults, are torch.optim.Adam's with amsgrad=True.
    """

    def init(self, x: torch.Tensor) -> State:
        """Adam's, with the largest v so far, 0."""
        mean, square, t = super().init(x)
        return mean, square, torch.zeros_like(x), t

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """s = −lr · m̂ / (√v̂ + eps)."""
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
        """Adam's, with the largest v̂ so far."""
        _, _, largest, t = state
        return self._share(largest, t)
