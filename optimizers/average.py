"""The mean of the iterates instead of the last one."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper
from optimizers.optimizer import Oracle, State
from optimizers.registry import WRAPPERS
from optimizers.sgd import SGD
from optimizers.wrapper import OracleView, Wrapper


@WRAPPERS.register("average", around=SGD())
@dataclass(frozen=True)
class Average(Wrapper):
    """The mean x of the inner optimizer's last n iterates z instead of the last one: s = (z − x)/n.

    The inner optimizer runs on z, with the gradients there, as it would alone. Averaging begins when the share
    `burn_in` of the budget is spent; until then x is z. The mean removes noise at the best possible rate, 1/n,
    even with a constant learning rate, if it is small enough: Polyak & Juditsky 1992, Ruppert 1988. Without
    noise the old points only slow it down.
    """

    burn_in: Hyper = hyper(0.5, low=0, below=1)

    def init(self, x: torch.Tensor) -> State:
        """Return z = x, the number of iterates in the mean (*runs, 1), and the inner optimizer's state."""
        return x, torch.zeros_like(x[..., :1]), self.inner.init(x)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the step from the mean so far to the mean with the next iterate in it."""
        z, count, inner = state
        there = oracle.at(z)
        step, inner = self.inner.update(OracleView(oracle, there), inner)
        z = there.x + step
        begun = torch.as_tensor(oracle.progress, device=z.device) >= self.burn_in
        count = torch.where(begun, count + 1, count)
        return (z - oracle.x) / count.clamp(min=1), (z, count, inner)
