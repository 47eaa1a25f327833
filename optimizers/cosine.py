"""A learning rate that falls along half a cosine to 0 by the end of the budget."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from optimizers.registry import WRAPPERS
from optimizers.schedule import Schedule
from optimizers.sgd import SGD


@WRAPPERS.register("cosine", around=SGD())
@dataclass(frozen=True)
class Cosine(Schedule):
    """Cosine decay of the learning rate to 0: lr · (1 + cos πp)/2, with the share p of the budget that is spent.

    It is torch's CosineAnnealingLR with T_max the steps of the budget and eta_min=0: high for longer than a linear
    decay, and lower at the end. Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts.

    Raises:
        Refused: If the inner optimizer has no learning rate.
    """

    def factor(self, progress: torch.Tensor) -> torch.Tensor:
        """Return (1 + cos πp)/2."""
        return (1.0 + torch.cos(math.pi * progress)) / 2.0
