"""Schedules of the learning rate: wrappers that multiply it by a factor of the share of the budget that is spent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.wrapper import Wrapper
from ravine import Refused


@dataclass(frozen=True)
class Schedule(Wrapper, ABC):
    """A learning rate that follows the budget: lr · factor(p), with the share p of the budget that is spent.

    The factors of schedules around schedules multiply, as in torch's ChainedScheduler.

    Raises:
        Refused: If the inner optimizer has no learning rate.
    """

    def __post_init__(self) -> None:
        if self.inner.rate not in self.inner.hyperparameters:
            name = type(self).__name__
            raise Refused(f"{name} cannot wrap {self.inner!r}: it has no learning rate")
        super().__post_init__()

    @abstractmethod
    def factor(self, progress: torch.Tensor) -> torch.Tensor:
        """Return what the learning rate is multiplied by.

        Args:
            progress: p, () or (*runs, 1).

        Returns:
            The factor, broadcastable to (*runs, 1).
        """

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the inner optimizer's step at the scheduled rate."""
        return self._now(oracle.progress, oracle.x).update(oracle, state)

    def stability(
        self, state: State, gradient: torch.Tensor, progress: float | torch.Tensor
    ) -> torch.Tensor | None:
        """Return the inner optimizer's value at the scheduled rate."""
        return self._now(progress, gradient).stability(state, gradient, progress)

    def _now(self, progress: float | torch.Tensor, like: torch.Tensor) -> Optimizer:
        p = torch.as_tensor(progress, dtype=like.dtype, device=like.device)
        rate = self.inner.rate
        return self.inner.batched({rate: self.inner.hyperparameters[rate] * self.factor(p)})
