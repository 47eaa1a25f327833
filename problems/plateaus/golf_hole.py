"""A hole in a level green: from nearly everywhere, no gradient and no curvature says where it is."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from problems.one_minimum import OneMinimum
from problems.problem import Card, CriticalPoint, SampleSizes, Tree, dial
from problems.registry import register
from ravine import bounded


@register("golf_hole")
@dataclass(frozen=True)
class GolfHole(OneMinimum):
    """A hole in a level green: outside it gradient and Hessian are exactly zero.

    f = 1 − exp(1 − 1/(1 − r²/s²)) for r = |x − m| < s, and 1 elsewhere: C^∞, 0 at m.

    Starts are uniform in the ball of radius 1 around m. A run that starts outside the hole sees f = 1 and no
    derivative of any order, and stays: a local method solves at most the share s^dim of the runs. Random search
    finds the hole after about s^−dim points of the ball. Near its rim the hole is almost as flat as the green.

    dim: x is (dim,).
    hole: s. From 1 on all starts are in it.

    Goodfellow, Bengio & Courville 2016, Deep Learning, section 8.2.3.
    """

    dim: int = bounded(2, low=1)
    hole: float = dial(0.7, above=0)

    card = Card(
        scale="log",
        ladder=(0.7, 0.3, 0.1),
        target=1e-4,
        budget=1000,
        reference=("adam", {"lr": 0.03}),
        control={"hole": 2.0},
        removes={"no_signal": {"hole": 2.0}},
        signature="share of the starts at which the gradient and the Hessian are exactly zero",
        threshold=0.4,
        truth="The minimum is 0, at m, the only critical point in the hole; outside it every point is one. "
        "Local methods solve the share s^dim of the runs: those that start in the hole.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.3",
        exceptions={
            "start_gradient": "it is zero outside the hole, where a share 1 − s^dim of the runs starts",
            "reference": "at a share 1 − s^dim of the starts the loss is constant",
            "random_search": "in two dimensions 1000 evaluations are enough to find the hole",
            "ranked": "all local methods solve the same runs: those that start in the hole",
        },
        cell=SampleSizes(trials=9, seeds=50),
    )

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer = torch.randn(self.dim, generator=generator)
        start = minimizer + _in_the_ball(1, self.dim, generator)[0]
        return {"start": start, "minimizer": minimizer}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        left = 1 - ((x - data["minimizer"]) / self.hole).square().sum(-1)
        inside = left > 0
        depth = (1 - 1 / torch.where(inside, left, 1.0)).exp()  # finite outside, with its gradient
        return 1 - torch.where(inside, depth, 0.0)

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return the minimum, and a point beside the hole."""
        beside = data["minimizer"].clone()
        beside[0] += 1.1 * self.hole
        return (
            CriticalPoint(data["minimizer"], 0.0, 0),
            CriticalPoint(beside, 1.0, 0, nullity=self.dim),
        )

    def predicted_share(self) -> float:
        return min(1.0, self.hole) ** self.dim

    def signature(self, data: Tree) -> float:
        return self._flat(data, 1000).double().mean().item()

    def _flat(self, data: Tree, count: int) -> torch.Tensor:
        """Return at which of so many random starts gradient and Hessian are zero: bool (count,)."""
        x = data["minimizer"] + _in_the_ball(count, self.dim, torch.Generator().manual_seed(0))
        gradient = self.value_and_gradient(x, data)[1]
        return ~(gradient.any(-1) | self.hessian(x, data).flatten(-2).any(-1))


def _in_the_ball(count: int, dim: int, generator: torch.Generator) -> torch.Tensor:
    """Draw points (count, dim), uniform in the unit ball."""
    directions = torch.randn(count, dim, generator=generator, dtype=torch.float64)
    radii = torch.rand(count, 1, generator=generator, dtype=torch.float64) ** (1 / dim)
    return radii * directions / directions.norm(dim=-1, keepdim=True)
