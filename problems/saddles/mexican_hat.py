"""A hat with a round brim: its top is a maximum that attracts Newton's method."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.problem import Card, CriticalPoint, Problem, Tree, dial
from problems.registry import register
from problems.saddles.newton_iteration import directions_down
from ravine import bounded

BOUNDARY = 1 / math.sqrt(5)


def breaking_point_of_newton(problem: MexicanHat, budget: float) -> float:
    """Return the radius within which Newton's whole steps lead to the top."""
    return BOUNDARY


@register("mexican_hat")
@dataclass(frozen=True)
class MexicanHat(Problem):
    """A hat with a round brim: its top is a maximum that attracts Newton's method.

    f(x) = ¼ (|y|² − 1)², y = x − c.

    A step of Newton's method leads from radius r to 2r³/(3r² − 1): to the top from r < 1/√5, and from
    farther out, after some steps, to the brim. For steps lr times as long the border is at
    √((2 − lr)/(6 − lr)): longer steps escape from nearer to the top, but converge more slowly; below
    r₀ = 0.15 none does both within the budget. Descent leaves the top like (1 + lr)^t; with |H| for H
    each step more than doubles the distance from it. On the brim the Hessian, 2yyᵀ, is singular.

    The start is at r₀ in a random direction.

    dim: x is (dim,); the top is a maximum in all of these directions.
    radius: r₀. At 1 there is nothing to do.

    Deep Learning, sections 8.2.3 and 8.6.1.
    """

    dim: int = bounded(10, low=1)
    radius: float = dial(0.1, above=0, high=0.95)

    card = Card(
        scale="log",
        ladder=(0.8, 0.1, 0.01),
        target=1e-4,
        budget=1000,
        reference=("saddle_free_newton", {"lr": 1.0, "damping": 0.01}),
        control={"radius": 0.8},
        breaks=("newton", "negative_curvature"),
        same=("saddle",),
        signature="directions down where Newton's method ends",
        threshold=1.0,
        truth="The minima are the unit sphere around c, where f is 0; the other critical point is the "
        "maximum, ¼ at c. Newton's method ends there from within 1/√5.",
        source="Goodfellow, Bengio & Courville 2016, sections 8.2.3 and 8.6.1",
        theory={"newton": breaking_point_of_newton},
        exceptions={
            "random_search": "a whole sphere of minima, downhill from everywhere, is easily found"
        },
    )

    def instance(self, generator: torch.Generator) -> Tree:
        center = torch.randn(self.dim, generator=generator)
        direction = torch.randn(self.dim, generator=generator)
        direction = direction / direction.norm()
        start = center + self.radius * direction
        return {"start": start, "center": center, "direction": direction}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        y = x - data["center"]
        return 0.25 * ((y * y).sum(-1) - 1).square()

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        y = x - data["center"]
        return ((y * y).sum(-1, keepdim=True) - 1) / math.sqrt(2)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def minimizers(self, data: Tree) -> torch.Tensor:
        return data["center"] + torch.stack([data["direction"], -data["direction"]])

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return ((x - data["center"]).norm(dim=-1) - 1).abs()

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return the top and two points of the brim."""
        flat = self.dim - 1
        brim = (CriticalPoint(point, 0.0, index=0, nullity=flat) for point in self.minimizers(data))
        return CriticalPoint(data["center"], 0.25, index=self.dim), *brim

    def signature(self, data: Tree) -> float:
        return directions_down(self, data)
