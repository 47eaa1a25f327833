"""Where hyperparameters are searched: from points of the unit cube to values in the problem's units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from benchmarks.engine.contender import Contender
from benchmarks.engine.instances import Instances
from optimizers import Range

REFINED = 0.1  # half the width of the refined box, as a share of the searched one
EDGE = 1 / 16  # of the searched range: a winner so close to its border is flagged


def measure_units(instances: Instances, tuning: slice) -> dict[str, float]:
    """What a hyperparameter is measured in.

    D is the median distance from the start to the solutions (or the length of the start, where the
    solutions are unknown), G the median norm of the gradient at the start, both on the tuning instances.
    """
    problem, data = instances.problem, instances.data
    start = data["start"]
    value, gradient = problem.value_and_gradient(start, data)
    distance = problem.distance(start, data)
    if distance is None:
        distance = start.norm(dim=-1)
    length = float(distance[tuning].median()) or 1.0
    slope = float(gradient.norm(dim=-1)[tuning].median())
    if slope == 0.0:  # a plateau: the mean slope down to the floor stands in
        slope = float((value - problem.floor(data))[tuning].median()) / length
    return {
        "none": 1.0,
        "length": length / math.sqrt(start.shape[-1]),
        "gradient": slope,
        "length/gradient": length / slope,
        "gradient/length": slope / length,
        "gradient/length^2": slope / length**2,
    }


@dataclass(frozen=True)
class Box:
    """The search space of a contender on one problem; its points have coordinates in [0, 1)."""

    contender: Contender
    units: Mapping[str, float]

    @property
    def dim(self) -> int:
        """How many hyperparameters are searched."""
        return len(self.contender.space)

    def sobol(self, count: int, seed: int = 0) -> torch.Tensor:
        """Scrambled Sobol points (count, dim); unscrambled, the first is the corner."""
        if not self.dim or not count:
            return torch.zeros(count, self.dim, dtype=torch.float64)
        return torch.quasirandom.SobolEngine(self.dim, scramble=True, seed=seed).draw(
            count, dtype=torch.float64
        )

    def refined(self, count: int, around: torch.Tensor) -> torch.Tensor:
        """Points of the shrunken box around one of them."""
        low, high = (around - REFINED).clamp(0, 1), (around + REFINED).clamp(0, 1)
        return low + (high - low) * self.sobol(count, seed=1)

    def values(self, points: torch.Tensor) -> dict[str, torch.Tensor]:
        """Hyperparameters (count, 1) at these points, the discounted ones last."""
        found: dict[str, torch.Tensor] = {}
        space = self.contender.space
        for axis, name in sorted(
            enumerate(space), key=lambda each: space[each[1]].discount is not None
        ):
            found[name] = _place(space[name], points[:, axis]).unsqueeze(-1) * self.unit(
                name, found
            )
        return found

    def unit(self, name: str, values: Mapping[str, torch.Tensor]) -> torch.Tensor | float:
        """What one unit of a hyperparameter is, where the others have these values."""
        declared = self.contender.space.get(name) or self.contender.optimizer.space[name]
        momentum = 0.0
        if declared.discount is not None:
            pinned = self.contender.optimizer.hyperparameters[declared.discount]
            momentum = values.get(declared.discount, pinned)
        return self.units[declared.unit] * (1.0 - momentum)

    def on_edge(self, point: torch.Tensor) -> bool:
        """Whether a point lies so close to the border that a better one may lie outside."""
        return bool(((point < EDGE) | (point > 1 - EDGE)).any())


def _place(within: Range, share: torch.Tensor) -> torch.Tensor:
    if within.scale == "linear":
        return within.low + (within.high - within.low) * share
    value = within.low * (within.high / within.low) ** share
    return 1.0 - value if within.scale == "complement" else value
