"""In which of the problem's units an optimizer's learning rate is measured, found by trying it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Unit
from optimizers.optimizer import Optimizer

LR = 1e-4  # small enough that the runs on all bowls stay where they started
STEPS = 7  # the first are special: RAdam is not rectified yet, L-BFGS knows no curvature
DIM, FLATTEST, STEEPEST = 4, 1.0, 4.0


def measured_unit(optimizer: Optimizer) -> Unit:
    """The unit of the learning rate: "length/gradient", "length", or "none".

    On a bowl that is twice as high, a step lr · g doubles, and a step of its own length stays; on
    one that is twice as wide the first halves and the second stays. Anything else knows the
    problem's scale by itself: Newton's step stays on the first and doubles on the second.
    Hyperparameters with a unit of their own are scaled with the bowl.
    """
    bowls = ((1.0, 1.0), (2.0, 1.0), (1.0, 2.0))
    plain, higher, wider = (_last_step(optimizer, height, width) for height, width in bowls)
    if not (math.isfinite(plain * higher * wider) and min(plain, higher, wider) > 0):
        return "none"
    powers = round(math.log2(higher / plain)), round(math.log2(wider / plain))
    units: dict[tuple[int, int], Unit] = {(1, -1): "length/gradient", (0, 0): "length"}
    return units.get(powers, "none")


def _last_step(optimizer: Optimizer, height: float, width: float) -> float:
    """How long the last of the steps is on a bowl of this height and width."""
    units = {
        "length": width,
        "gradient": height / width,
        "gradient/length": height / width**2,
        "gradient/length^2": height / width**3,
    }
    values = {"lr": LR} if "lr" in optimizer.hyperparameters else {}
    for name, each in optimizer.space.items():
        if name != "lr" and each.unit in units:
            values[name] = optimizer.hyperparameters[name] * units[each.unit]
    bowl = Bowl(torch.full((1, 1, DIM), width, dtype=torch.float64), height / width**2)
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
    """An oracle of one run: ½ steepness · Σ curvature · x², curvatures from 1 to 4."""

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
