"""The mean of the path instead of its end."""

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
    """Answers with the mean of the inner optimizer's last n iterates z: s = (z − x)/n.

    The inner optimizer walks on as if alone, z; its gradients are those at z. The mean begins when
    the share `burn_in` of the budget is spent; before, x is z. Noise averages out of it at the best
    rate there is, 1/n, even at a constant step, where that is small enough: Polyak & Juditsky 1992,
    Ruppert 1988. Without noise it only drags old points along.
    """

    burn_in: Hyper = hyper(0.5, low=0, below=1)

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
