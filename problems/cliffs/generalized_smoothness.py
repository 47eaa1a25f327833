"""A bowl whose curvature grows with its gradient, and a long gentle slope."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, replace

import torch

from problems.geometry import random_rotation
from problems.one_minimum import OneMinimum
from problems.problem import Card, CriticalPoint, Tree, dial
from problems.registry import register
from ravine import Refused, bounded

LENGTH = 10.0  # of the slope: |y| at the start
BOTTOM = 1.0  # |y| from which on it is straight


def breaking_point_of_descent(problem: GeneralizedSmoothness, budget: float) -> float:
    """Return the radius, to 0.01, from which descent at the largest stable rate needs the whole budget."""
    radii = [each / 100 for each in range(1, 4001)]
    first = bisect.bisect_left(
        radii, budget, key=lambda radius: replace(problem, radius=radius).steps_of_descent()
    )
    return radii[first] if first < len(radii) else math.inf


@register("generalized_smoothness")
@dataclass(frozen=True)
class GeneralizedSmoothness(OneMinimum):
    """A bowl with walls like eˣ, and a slope: steps that are safe on the wall never get down the slope.

    f = (cosh(L x) − 1)/L² + ψ(y), ψ(y) = s (|y| − 1) + ⅝ s for |y| ≥ 1, else ⅛ s (6 y² − y⁴); x and y are
    coordinates along rotated axes from the minimizer. L = growth, s = slope.

    The curvature is at most 1 + L |∇f|, and on the wall nearly that: no constant bounds it. From x = R,
    y = 10 gradient descent at a constant rate diverges unless the rate is below 2R/M, M = sinh(L R)/L,
    the gradient there; at that rate the slope takes more than (10 − 1) M/(2 s R) steps, exponentially
    many in R. Steps whose length is clipped at γ descend the wall in R/γ, and then go along the slope at
    the rate that suits the bottom. Here conditioning is clipping: the wall's slope over its curvature is
    tanh(L x)/L, which is x near the bottom and at most 1/L.

    At large R the start's loss is all wall; solved means f ≤ target · ψ(10), the slope's height.

    radius: R.
    growth: L, of the curvature with the gradient; towards 0 the bowl is ½ x².
    slope: s, of ψ at a distance.

    Zhang, He, Sra & Jadbabaie 2020, arXiv:1905.11881, with (L₀, L₁) = (1, growth); ψ is the piece of
    their lower bound, twice continuously differentiable.
    """

    radius: float = dial(6.0, above=0)
    growth: float = bounded(1.0, above=0)
    slope: float = bounded(0.1, above=0, high=2 / 3)

    card = Card(
        scale="linear",
        ladder=(2.0, 6.0, 12.0),
        quick={},
        target=1e-4,
        budget=1000,
        reference=("clipped_sgd", {"lr": 0.9, "threshold": 0.5 / 0.9}),
        control={"growth": 0.01},
        breaks=("sgd", "cliff"),
        same=("ill_conditioning",),
        signature="curvature at the start over that at the minimum",
        threshold=3.0,
        truth="One minimum, 0, and no other critical point; the Hessian there is diag(1, 3s/2) in the "
        "rotated axes. Gradient descent does not diverge below the rate 2R/M, M = sinh(L R)/L, and needs "
        "about (9/s + 2 (ln(1/δ) + ½ ln((3 − δ²)/2))/(3s)) M/(2R) steps, δ being the y where it is solved.",
        source="Zhang, He, Sra & Jadbabaie 2020, theorem 4 and section 4",
        theory={"sgd": breaking_point_of_descent},
        exceptions={"random_search": "1000 evaluations in two dimensions are enough"},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # float32's largest number is cosh 89, and gradients are squared.
        if self.radius * self.growth > 40:
            raise Refused(
                f"generalized_smoothness.radius is {self.radius!r}, but must be at most "
                f"{40 / self.growth:g} with a growth of {self.growth:g}: float32 overflows beyond"
            )

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer = torch.randn(2, generator=generator)
        axes = random_rotation(2, generator)
        start = minimizer + axes @ torch.tensor([self.radius, LENGTH])
        return {"start": start, "minimizer": minimizer, "axes": axes}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self._value(*self._along(x, data))

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both; in the rotated axes the gradient is (sinh(L x)/L, s/2 (3 b − b³)), b = y clipped to ±1."""
        steep, gentle = self._along(x, data)
        bottom = gentle.clamp(-BOTTOM, BOTTOM)
        falls = self.slope / 2 * bottom * (3 - bottom.square())
        along = torch.stack([(self.growth * steep).sinh() / self.growth, falls], -1)
        return self._value(steep, gentle), torch.einsum("...j,...ij->...i", along, data["axes"])

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the Hessian; along the rotated axes it is cosh L x and, within the bottom, 3s/2 (1 − y²)."""
        steep, gentle = self._along(x, data)
        flat = 3 / 2 * self.slope * (1 - gentle.clamp(-BOTTOM, BOTTOM).square())
        curvature = torch.stack([(self.growth * steep).cosh(), flat], -1)
        return torch.einsum("...ij,...j,...kj->...ik", data["axes"], curvature, data["axes"])

    def _along(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, ...]:
        """Return the coordinates x and y."""
        return torch.einsum("...i,...ij->...j", x - data["minimizer"], data["axes"]).unbind(-1)

    def _value(self, steep: torch.Tensor, gentle: torch.Tensor) -> torch.Tensor:
        bottom = gentle.clamp(-BOTTOM, BOTTOM)
        square = bottom.square()
        # cosh z − 1 = 2 sinh²(z/2) keeps its digits where z is small.
        wall = 2 * (self.growth / 2 * steep).sinh().square() / self.growth**2
        return wall + self.slope * (square * (6 - square) / 8 + gentle.abs() - bottom.abs())

    def solved(
        self, x: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor | None, data: Tree
    ) -> torch.Tensor:
        """Compare the loss with the slope's height: that of the wall is exponential in R."""
        return self.loss(x, data) <= self._accepted

    @property
    def solved_when(self) -> str:
        return f"loss at most {self.card.target:g} of the height of the slope, ψ({LENGTH:g})"

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        return (CriticalPoint(data["minimizer"], 0.0, 0),)

    def signature(self, data: Tree) -> float:
        start, end = (
            torch.linalg.eigvalsh(self.hessian(point, data))[-1]
            for point in (data["start"], data["minimizer"])
        )
        return (start / end).item()

    def largest_rate(self) -> float:
        """Return 2R/M: at it, descent jumps between R and −R for ever; below it x shrinks, above it grows."""
        return 2 * self.radius * self.growth / math.sinh(self.growth * self.radius)

    def steps_of_descent(self) -> float:
        """Return how many steps the slope takes at that rate.

        Each step along the straight part is η s long; below it dy/dt = −η s (3y − y³)/2 leads from
        y = 1 to δ, where ψ(δ) is accepted, in 2/(3 η s) times ln(1/δ) + ½ ln((3 − δ²)/2).
        """
        accepted = 8 * self._accepted / self.slope
        end = math.sqrt(3 - math.sqrt(9 - accepted))  # δ² (6 − δ²) = accepted
        bottom = math.log(1 / end) + 0.5 * math.log((3 - end**2) / 2)
        travelled = (LENGTH - BOTTOM) / self.slope + bottom / (1.5 * self.slope)
        return travelled / self.largest_rate()

    @property
    def _accepted(self) -> float:
        return self.card.target * self.slope * (LENGTH - BOTTOM + 5 / 8)
