"""Map points of the unit cube to hyperparameters in the problem's units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from benchmarks.engine.contender import Contender, Removal
from benchmarks.engine.instances import Instances
from optimizers import Range

REFINED = 0.1  # half-width of the refined box, as a share of the searched box's width
EDGE = 1 / 16  # of the searched range: a setting this close to its border has `edge` set


def measure_units(
    instances: Instances, tuning: slice, removal: Removal | None = None
) -> dict[str, float]:
    """Return the size of each unit of a hyperparameter, by the unit's name.

    "none" is 1, "length" is D/√dim, "gradient" is G; in the ratios, length is D. D is the median distance
    from the start to the solutions (|start| if they are unknown), G the median |g| at the start, both on
    the tuning instances; g is what an optimizer sees without what the removal takes away.
    """
    problem, data = instances.problem, instances.data
    start = data["start"]
    value, gradient = problem.value_and_gradient(start, data)
    if removal is not None:
        gradient = removal.gradient(gradient, instances)
    distance = problem.distance(start, data)
    if distance is None:
        distance = start.norm(dim=-1)
    length = float(distance[tuning].median()) or 1.0
    slope = float(gradient.norm(dim=-1)[tuning].median())
    if slope == 0.0:  # a plateau: use the mean slope (f − f*)/D instead
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
    """The search space of a contender on one problem; coordinates of its points are in [0, 1)."""

    contender: Contender
    units: Mapping[str, float]

    @property
    def dim(self) -> int:
        """Return the number of searched hyperparameters."""
        return len(self.contender.space)

    def sobol(self, count: int, seed: int = 0) -> torch.Tensor:
        """Return scrambled Sobol points (count, dim); without scrambling the first would be the corner 0."""
        if not self.dim or not count:
            return torch.zeros(count, self.dim, dtype=torch.float64)
        return torch.quasirandom.SobolEngine(self.dim, scramble=True, seed=seed).draw(
            count, dtype=torch.float64
        )

    def refined(self, count: int, around: torch.Tensor) -> torch.Tensor:
        """Return points (count, dim) of the smaller box around one point."""
        low, high = (around - REFINED).clamp(0, 1), (around + REFINED).clamp(0, 1)
        return low + (high - low) * self.sobol(count, seed=1)

    def values(self, points: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the hyperparameters (count, 1) at these points; those discounted by another come last."""
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
        """Return the size of a hyperparameter's unit, given the other values: times 1 − β if it is discounted by β."""
        declared = self.contender.space.get(name) or self.contender.optimizer.space[name]
        momentum = 0.0
        if declared.discount is not None:
            pinned = self.contender.optimizer.hyperparameters[declared.discount]
            momentum = values.get(declared.discount, pinned)
        return self.units[declared.unit] * (1.0 - momentum)

    def on_edge(self, point: torch.Tensor) -> bool:
        """True if a point is so close to the border of the box that a better one may lie outside."""
        return bool(((point < EDGE) | (point > 1 - EDGE)).any())


def _place(within: Range, share: torch.Tensor) -> torch.Tensor:
    if within.scale == "linear":
        return within.low + (within.high - within.low) * share
    value = within.low * (within.high / within.low) ** share
    return 1.0 - value if within.scale == "complement" else value
