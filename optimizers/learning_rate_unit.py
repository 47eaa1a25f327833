"""Find by trial in which of the problem's units an optimizer's learning rate is measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Unit
from optimizers.optimizer import Optimizer

LR = 1e-4  # so small that runs stay near their start on all bowls
STEPS = 7  # the last one counts: at first RAdam is not rectified and L-BFGS knows no curvature
DOUBLED = 0.05  # how far from 2 the ratio of two steps may be
DIM, FLATTEST, STEEPEST = 4, 1.0, 4.0


def measured_unit(optimizer: Optimizer, dtype: torch.dtype | None = None) -> Unit:
    """Return the unit of an optimizer's learning rate: "length/gradient", "length", or "none".

    The optimizer takes a few steps on a bowl, on one twice as high and on one twice as wide. A step lr · g
    doubles on the second and halves on the third; a step of fixed length stays the same on both. Any other method
    knows the problem's scale by itself: Newton's step stays the same on the second and doubles on the third.
    Other hyperparameters with a unit are scaled with the bowl.

    Args:
        optimizer: The optimizer, with or without a learning rate.
        dtype: The precision in which it is tried; float64 by default.

    Returns:
        The unit; "none" if a step is 0 or not finite.
    """
    bowls = ((1.0, 1.0), (2.0, 1.0), (1.0, 2.0))
    plain, higher, wider = (_last_step(optimizer, height, width, dtype) for height, width in bowls)
    if not (math.isfinite(plain * higher * wider) and min(plain, higher, wider) > 0):
        return "none"
    powers = round(math.log2(higher / plain)), round(math.log2(wider / plain))
    units: dict[tuple[int, int], Unit] = {(1, -1): "length/gradient", (0, 0): "length"}
    return units.get(powers, "none")


def is_learning_rate(optimizer: Optimizer, name: str, dtype: torch.dtype | None = None) -> bool:
    """True if twice the value of a hyperparameter makes the steps on a bowl twice as long.

    Args:
        optimizer: The optimizer.
        name: The hyperparameter.
        dtype: The precision in which it is tried; float64 by default.
    """
    once, twice = (_last_step(optimizer, 1.0, 1.0, dtype, {name: k * LR}) for k in (1, 2))
    return 0 < once < math.inf and abs(twice / once - 2) < DOUBLED


def _last_step(
    optimizer: Optimizer,
    height: float,
    width: float,
    dtype: torch.dtype | None,
    given: Mapping[str, float] | None = None,
) -> float:
    """Return the length of the last of the steps on a bowl of this height and width.

    The learning rate is LR if no values are given.
    """
    units = {
        "length": width,
        "gradient": height / width,
        "gradient/length": height / width**2,
        "gradient/length^2": height / width**3,
    }
    rate = optimizer.rate
    values: dict[str, float] = {rate: LR} if rate in optimizer.hyperparameters else {}
    values = values if given is None else dict(given)
    for name, each in optimizer.space.items():
        if name != rate and each.unit in units:
            values[name] = optimizer.hyperparameters[name] * units[each.unit]
    bowl = Bowl(torch.full((1, 1, DIM), width, dtype=dtype or torch.float64), height / width**2)
    optimizer = optimizer.batched(
        {name: bowl.x.new_tensor([[value]]) for name, value in values.items()}
    )
    state = optimizer.init(bowl.x)
    step = torch.zeros_like(bowl.x)
    for _ in range(STEPS):
        step, state = optimizer.update(bowl, state)
        bowl = Bowl(bowl.x + step, bowl.steepness)
    return float(step.norm())


@dataclass
class Bowl:
    """An oracle of one run on ½ steepness · Σ curvature · x², with curvatures from 1 to 4."""

    x: torch.Tensor
    steepness: float
    progress = 0.0

    @property
    def alive(self) -> torch.Tensor:
        return torch.ones(self.x.shape[:-1], dtype=torch.bool)

    @property
    def value(self) -> torch.Tensor:
        return 0.5 * (self.x * self.gradient).sum(-1, keepdim=True)

    @property
    def gradient(self) -> torch.Tensor:
        return self.hvp(self.x)

    @property
    def floor(self) -> torch.Tensor:
        return torch.zeros_like(self.value)

    @property
    def spectrum(self) -> tuple[torch.Tensor, torch.Tensor]:
        low, high = (self.steepness * each for each in (FLATTEST, STEEPEST))
        return self.value.new_full((1, 1, 1), low), self.value.new_full((1, 1, 1), high)

    def hvp(self, vector: torch.Tensor, who: torch.Tensor | None = None) -> torch.Tensor:
        dim = vector.shape[-1]
        curvatures = torch.linspace(
            FLATTEST, STEEPEST, dim, dtype=vector.dtype, device=vector.device
        )
        return self.steepness * curvatures * vector

    @property
    def hessian(self) -> torch.Tensor:
        return torch.diag_embed(self.hvp(torch.ones_like(self.x)))

    @property
    def gauss_newton(self) -> torch.Tensor:
        return self.hessian

    def at(self, x: torch.Tensor, who: torch.Tensor | None = None) -> Bowl:
        return Bowl(x, self.steepness)

    def normal(self) -> torch.Tensor:
        return torch.ones_like(self.x)

    def single(
        self, instance: int, trial: int, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.at(x).value[0], self.at(x).gradient
