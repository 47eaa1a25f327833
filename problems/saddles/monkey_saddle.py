"""A saddle with three ways down and no curvature, which is left at a power law's pace."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice

import torch

from problems.descent import descent
from problems.geometry import random_rotation
from problems.problem import Card, CriticalPoint, Problem, Tree, dial
from problems.registry import register
from ravine import bounded

# The time that the flow takes past the saddle, times ∛θ/r₀: 4/3 of ⅑ 3^-⅓ ∫ ds/(1 + s²)^⅔ over the line.
PASSAGE = 4 / 27 * math.sqrt(math.pi) * math.gamma(1 / 6) / math.gamma(2 / 3) / 3 ** (1 / 3)
PATIENCE = 300  # steps, after which the signature stops counting


def breaking_point_of_descent(problem: MonkeySaddle, budget: float) -> float:
    """Return the angle from which the flow takes the budget's time to pass, at the largest stable rate, 2q/27.

    The time before and after the passage is neglected: 1 of 74 units, at 1000 steps.
    """
    return (PASSAGE * 27 / 2 / budget) ** 3


@register("monkey_saddle")
@dataclass(frozen=True)
class MonkeySaddle(Problem):
    """A saddle with three ways down and no curvature, which is left at a power law's pace.

    f(x) = u³ − 3uv² + (q/4)(u² + v²)² = r³ cos 3φ + (q/4) r⁴, (u, v) = Rᵀ(x − c).

    At c gradient and Hessian vanish, but c is no minimum: three ridges lead to it, and three valleys
    from it to the minima. Without the wall the flow keeps Im z³ = r³ sin 3φ, z = u + iv, while Re z³ falls at
    the rate 9|z|⁴: from the angle θ beside a ridge it comes as near as (3θ)^⅓ r₀, and passes in the time
    0.561 θ^-⅓/r₀; on the ridge r = 1/(1/r₀ + 3t), for ever. From r₀ = 1/q the wall leaves (3/4)³ of Im z³,
    which makes the passage 4/3 as long.

    Newton's method halves its distance to c with each step; with |H| = 6r for H it halves u and doubles
    v. Heavy ball does not stop on a ridge: it runs over c and down on the other side.

    The start is at r₀ = 1/q, at the angle θ from the ridge u > 0.

    angle: θ, at most π/3, where the valleys are.
    wall: q, which sets the unit of length, 1/q.

    Dauphin et al. 2014, arXiv:1406.2572, figure 2; Deep Learning, section 8.2.3.
    """

    angle: float = dial(1e-7, low=1e-13, high=math.pi / 3)
    wall: float = bounded(1.0, above=0)

    card = Card(
        scale="log",
        ladder=(0.1, 1e-5, 1e-12),
        target=1e-4,
        budget=1000,
        reference=("momentum", {"lr": 0.01, "momentum": 0.9}),
        control={"angle": math.pi / 3},
        breaks=("sgd", "saddle"),
        same=("plateau",),
        signature=f"steps of descent at the rate q/50 until half the height is gone, up to {PATIENCE}",
        threshold=100.0,
        truth="Three minima, −27/4q³ at r = 3/q, φ = π and ±π/3, with curvatures 9/q and 27/q; one other "
        "critical point, 0 at c, where the Hessian is zero.",
        source="Dauphin et al. 2014, figure 2; Goodfellow, Bengio & Courville 2016, section 8.2.3",
        theory={"sgd": breaking_point_of_descent},
        exceptions={"random_search": "1000 evaluations are enough to find a way in two dimensions"},
    )

    def instance(self, generator: torch.Generator) -> Tree:
        center = torch.randn(2, generator=generator) / self.wall
        basis = random_rotation(2, generator)
        start = torch.tensor([math.cos(self.angle), math.sin(self.angle)]) / self.wall
        return {"start": center + basis @ start, "center": center, "basis": basis}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.value_and_gradient(x, data)[0]

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        away = x - data["center"]
        u, v = torch.einsum("...i,...ij->...j", away, data["basis"]).unbind(-1)
        square = u * u + v * v
        value = u * (u * u - 3 * v * v) + self.wall / 4 * square * square
        slope = torch.stack([3 * (u * u - v * v), -6 * u * v], -1)
        bent = torch.einsum("...j,...ij->...i", slope, data["basis"])
        return value, bent + self.wall * square.unsqueeze(-1) * away

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.tensor(-27 / (4 * self.wall**3), dtype=torch.float64)

    def minimizers(self, data: Tree) -> torch.Tensor:
        arms = self._arms().to(data["center"])
        return data["center"] + arms @ data["basis"].T

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        away = torch.einsum("...i,...ij->...j", x - data["center"], data["basis"])
        return (away.unsqueeze(-2) - self._arms().to(x)).norm(dim=-1).amin(-1)

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return all four."""
        lowest = self.floor(data).item()
        minima = (CriticalPoint(point, lowest, index=0) for point in self.minimizers(data))
        return CriticalPoint(data["center"], 0.0, index=0, nullity=2), *minima

    def signature(self, data: Tree) -> float:
        path = islice(descent(self, data, data["start"], self.wall / 50), PATIENCE)
        half = 0.5 * (self.loss(data["start"], data) + self.floor(data))
        return float(sum(1 for x in path if self.loss(x, data) > half))

    def _arms(self) -> torch.Tensor:
        """Return the minima's u and v: (3, 2)."""
        angles = torch.tensor([math.pi, math.pi / 3, -math.pi / 3], dtype=torch.float64)
        return 3 / self.wall * torch.stack([angles.cos(), angles.sin()], -1)
