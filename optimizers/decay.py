"""A learning rate that falls in a line to 0 by the end of the budget."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.registry import WRAPPERS
from optimizers.schedule import Schedule
from optimizers.sgd import SGD


@WRAPPERS.register("decay", around=SGD())
@dataclass(frozen=True)
class Decay(Schedule):
    """Linear decay of the learning rate to 0: lr · (1 − p), with the share p of the budget that is spent.

    Under noise a constant rate stops at a distance that grows with it; a falling one goes on. Without noise it
    only costs speed. Robbins & Monro 1951 proved that some decay is needed; why linear: Defazio, Cutkosky, Mehta
    & Mishchenko 2023, arXiv:2310.07831.

    Raises:
        Refused: If the inner optimizer has no learning rate.
    """

    def factor(self, progress: torch.Tensor) -> torch.Tensor:
        """Return 1 − p."""
        return 1.0 - progress
