"""AdamW: Adam on a leash to the origin."""

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
    """Adam and, apart from its averages, a share of x itself: s = −lr · (m̂ / (√v̂ + eps) + weight_decay · x).

    The decay is not divided by √v̂, as that of a loss with ½ weight_decay |x|² would be. It comes to
    rest only where the two cancel, which no minimum but 0 need be near to: made to generalize, not to
    minimize. Nor does it follow when the space is rescaled. Loshchilov & Hutter 2019,
    arXiv:1711.05101. The defaults are torch.optim.AdamW's.
    """

    weight_decay: Hyper = hyper(1e-2, low=0)

    moves_at_rest = True

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Adam's step − lr · weight_decay · x."""
        step, state = super().update(oracle, state)
        return step - self.lr * self.weight_decay * oracle.x, state
