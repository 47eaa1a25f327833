"""The mean of the path instead of its end."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.optimizer import Oracle, State
from optimizers.registry import WRAPPERS
from optimizers.sgd import SGD
from optimizers.wrapper import OracleView, Wrapper


@WRAPPERS.register("average", around=SGD())
@dataclass(frozen=True)
class Average(Wrapper):
    """Answers with the mean of the inner optimizer's iterates: x_{t+1} = x_t + (z_{t+1} − x_t)/(t + 1 − first).

    The inner optimizer walks on as if alone, z; its gradients are those at z. The run is at the
    mean of its iterates since the share `burn_in` of the budget was spent, and at z before. Noise averages out
    of it at the best rate there is, 1/t, even at a constant step, where that is small enough: Polyak
    & Juditsky 1992, Ruppert 1988. Near the start it only drags old points along. Without noise that
    is all it does.
    """

    burn_in: float = 0.5

    bounds = {"burn_in": {"low": 0.0, "high": 1.0, "open_high": True}}

    def init(self, x: torch.Tensor) -> State:
        """z = x, how many iterates are in the mean (*runs, 1), and the inner optimizer's state."""
        return x, torch.zeros_like(x[..., :1]), self.inner.init(x)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """From the mean so far to the mean with the next iterate in it."""
        z, count, inner = state
        there = oracle.at(z)
        step, inner = self.inner.update(OracleView(oracle, there), inner)
        z = there.x + step
        begun = torch.as_tensor(oracle.progress, device=z.device) >= self.burn_in
        count = torch.where(begun, count + 1, count)
        return (z - oracle.x) / count.clamp(min=1), (z, count, inner)
