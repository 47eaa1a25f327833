"""AdamW: Adam with decoupled weight decay."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.adam import Adam
from optimizers.hyperparameter import Hyper, hyper
from optimizers.optimizer import Oracle, State
from optimizers.registry import register


@register("adamw")
@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: s = −lr · (m̂ / (√v̂ + eps) + weight_decay · x).

    The decay is not divided by √v̂, as the gradient of ½ weight_decay |x|² in the loss would be. The method
    rests only where both terms cancel, which need not be near a minimum other than 0: it is made to
    generalize, not to minimize. It does not scale with x. Loshchilov & Hutter 2019, arXiv:1711.05101. The
    defaults are torch.optim.AdamW's.
    """

    weight_decay: Hyper = hyper(1e-2, low=0)

    moves_at_rest = True

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return Adam's step − lr · weight_decay · x."""
        step, state = super().update(oracle, state)
        return step - self.lr * self.weight_decay * oracle.x, state
