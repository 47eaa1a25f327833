"""A learning rate that falls to 0 by the end of the budget."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import WRAPPERS
from optimizers.sgd import SGD
from optimizers.wrapper import Wrapper
from ravine import Refused


@WRAPPERS.register("decay", around=SGD())
@dataclass(frozen=True)
class Decay(Wrapper):
    """Linear decay of the learning rate to 0: lr · (1 − p), with the share p of the budget that is spent.

    Under noise a constant rate stops at a distance that grows with it; a falling one goes on. Without noise it
    only costs speed. Robbins & Monro 1951 proved that some decay is needed; why linear: Defazio, Cutkosky, Mehta
    & Mishchenko 2023, arXiv:2310.07831.

    Raises:
        Refused: If the inner optimizer has no learning rate.
    """

    def __post_init__(self) -> None:
        if self.inner.rate not in self.inner.hyperparameters:
            raise Refused(f"Decay cannot wrap {self.inner!r}: it has no learning rate")
        super().__post_init__()

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the inner optimizer's step at the decayed rate."""
        return self._now(oracle.progress, oracle.x).update(oracle, state)

    def stability(
        self, state: State, gradient: torch.Tensor, progress: float | torch.Tensor
    ) -> torch.Tensor | None:
        """Return the inner optimizer's value at the decayed rate."""
        return self._now(progress, gradient).stability(state, gradient, progress)

    def _now(self, progress: float | torch.Tensor, like: torch.Tensor) -> Optimizer:
        left = 1.0 - torch.as_tensor(progress, dtype=like.dtype, device=like.device)
        rate = self.inner.rate
        return self.inner.batched({rate: self.inner.hyperparameters[rate] * left})
