"""A learning rate that rises in a line over the first part of the budget."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper
from optimizers.registry import WRAPPERS
from optimizers.schedule import Schedule
from optimizers.sgd import SGD


@WRAPPERS.register("warmup", around=SGD())
@dataclass(frozen=True)
class Warmup(Schedule):
    """Linear warmup of the learning rate: lr · (a + (1 − a) · min(1, p/w)), a = `warmup_start`, w = `warmup`.

    p is the share of the budget that is spent. It is torch's LinearLR with start_factor a and total_iters the share w
    of the steps. A rate that is too large where the run starts may be right later on: Goyal et al. 2017,
    arXiv:1706.02677. Followed by another schedule, as in `adam+warmup+cosine`, the two factors multiply.

    Attributes:
        warmup: w, the share of the budget after which the rate is the full one.
        warmup_start: a, the factor of the first step.

    Raises:
        Refused: If the inner optimizer has no learning rate.
    """

    warmup: Hyper = hyper(0.1, above=0, high=1)
    warmup_start: Hyper = hyper(0.01, low=0, high=1)

    def factor(self, progress: torch.Tensor) -> torch.Tensor:
        """Return a + (1 − a) · min(1, p/w)."""
        return self.warmup_start + (1.0 - self.warmup_start) * (progress / self.warmup).clamp(max=1)
