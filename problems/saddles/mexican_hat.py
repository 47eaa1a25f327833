"""A hat with a round brim: its top is a maximum that attracts Newton's method."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.problem import Card, CriticalPoint, Problem, Tree, dial
from problems.registry import register
from problems.saddles.newton_iteration import directions_down, end_of_newton
from ravine import bounded

BOUNDARY = 1 / math.sqrt(5)


def breaking_point_of_newton(problem: MexicanHat, budget: float) -> float:
    """Of its whole steps: from nearer to the top they lead there."""
    return BOUNDARY


@register("mexican_hat")
@dataclass(frozen=True)
class MexicanHat(Problem):
    """A hat with a round brim: its top is a maximum that attracts Newton's method.

    f(x) = ¼ (|y|² − 1)², y = x − c.

    All is radial. A step of Newton's method leads from r to 2r³/(3r² − 1): nearer to the top from wherever
    r < 1/√5, and so to the top; from beyond it leads farther away, to the other side and back, until
    r > 1/√3, whence it leads to the brim. Steps lr times as long have this border at
    √((2 − lr)/(6 − lr)): overlong ones escape from farther up, but the more so the slower they converge.
    Below r₀ = 0.15 there is none that does both within the budget.

    Descent leaves the top as (1 + lr)^t does, and with |H| for H the distance from the top more than
    doubles with each step. On the brim the Hessian 2yyᵀ is singular, and nothing is lost by that: the
    gradient has no part in what the Hessian does not see.

    The start is at r₀ in a random direction.

    dim: x is (dim,); the top is a maximum in all of these directions.
    radius: r₀. At 1 there is nothing to do.

    Deep Learning, sections 8.2.3 and 8.6.1.
    """

    dim: int = bounded(10, low=1)
    radius: float = dial(0.1, above=0, high=0.95)

    card = Card(
        scale="log",
        ladder=(0.8, 0.4, 0.1),
        target=1e-4,
        budget=1000,
        reference=("saddle_free_newton", {"lr": 1.0, "damping": 0.01}),
        control={"radius": 0.8},
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
        return {
            "start": center + self.radius * direction,
            "center": center,
            "direction": direction,
        }

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
        """The top, and two of the points of the brim."""
        brim = self.minimizers(data)
        return (
            CriticalPoint(data["center"], 0.25, index=self.dim),
            *(CriticalPoint(point, 0.0, index=0, nullity=self.dim - 1) for point in brim),
        )

    def signature(self, data: Tree) -> float:
        return float(directions_down(self, data, end_of_newton(self, data)))
