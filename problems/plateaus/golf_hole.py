"""A hole in a level green: from nearly everywhere, no gradient and no curvature says where it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

import torch

from problems.claims import Claim, about
from problems.descent import descent
from problems.portrait import Curves
from problems.problem import Card, Cell, CriticalPoint, Problem, Tree
from problems.registry import register
from ravine import require


@register("golf_hole")
@dataclass(frozen=True)
class GolfHole(Problem):
    """A hole in a level green: outside it gradient and Hessian are exactly zero.

    f = 1 − exp(1 − 1/(1 − r²/s²)) for r = |x − m| < s, and 1 elsewhere: C^∞, 0 at m.

    Starts are uniform in the ball of radius 1 around m. Whoever starts outside the hole sees f = 1 and nothing
    else, of whatever order, and stays: any local method solves at most the share s^dim of the runs. Random
    search gets there after about s^−dim points of the ball. Close to its rim the hole is nearly as flat.

    dim: x is (dim,).
    hole: s. From 1 on all starts are in it.

    Goodfellow, Bengio & Courville 2016, Deep Learning, section 8.2.3 and its flat regions.
    """

    dim: int = 2
    hole: float = 0.7

    card = Card(
        dial="hole",
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
            "start_gradient": "it is zero wherever a run starts outside the hole: with probability 1 − s^dim",
            "reference": "a share 1 − s^dim of the starts sees a constant",
            "random_search": "1000 evaluations in two dimensions are simply enough, from near the hole",
            "ranked": "all local methods fare alike: those of their runs that start in the hole are solved",
        },
        cell=Cell(trials=9, seeds=50),
    )

    def __post_init__(self) -> None:
        require("golf_hole", "dim", self.dim, low=1, whole=True)
        require("golf_hole", "hole", self.hole, low=0, open_low=True)

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer = torch.randn(self.dim, generator=generator)
        start = minimizer + _in_the_ball(1, self.dim, generator)[0]
        return {"start": start, "minimizer": minimizer}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        left = 1 - ((x - data["minimizer"]) / self.hole).square().sum(-1)
        inside = left > 0
        depth = (1 - 1 / torch.where(inside, left, 1.0)).exp()  # finite, as its unused gradient is
        return 1 - torch.where(inside, depth, 0.0)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (x - data["minimizer"]).norm(dim=-1)

    def minimizers(self, data: Tree) -> torch.Tensor:
        return data["minimizer"][None]

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """The minimum, and a point beside the hole."""
        beside = data["minimizer"] + 1.1 * self.hole * torch.eye(self.dim)[0]
        return (
            CriticalPoint(data["minimizer"], 0.0, 0),
            CriticalPoint(beside, 1.0, 0, nullity=self.dim),
        )

    def predicted_share(self) -> float:
        return min(1.0, self.hole) ** self.dim

    def signature(self, data: Tree) -> float:
        return self._flat(data, 1000).double().mean().item()

    def portrait(self) -> Curves:
        holes = torch.logspace(-1, 0, 9)
        problems = [self.at_dial(hole) for hole in holes.tolist()]
        return Curves(
            caption="Descent finds the hole when it starts inside, off the rim, and from nowhere else.",
            x_label="radius of the hole over that of the green",
            y_label="share of starts",
            lines={"s^dim": (holes, torch.tensor([each.predicted_share() for each in problems]))},
            dots={"descent": (holes, torch.tensor([each.share_solved(1000) for each in problems]))},
            x_scale="log",
        )

    def share_solved(self, count: int) -> float:
        """The share of random starts that 300 steps of gradient descent solve."""
        data = self.example()
        generator = torch.Generator().manual_seed(1)
        start = data["minimizer"] + _in_the_ball(count, self.dim, generator)
        *_, end = islice(descent(self, data, start, 0.2 * self.hole**2), 301)
        return (self.loss(end, data) <= self.card.target).double().mean().item()

    @Claim(
        "At s = 0.1 in two dimensions this share of the starts has no gradient and no curvature",
        stated=0.99,
        within=about(0.99, abs=0.003),
        source="1 − s^dim; three standard errors of 10,000 starts",
    )
    def share_of_the_green(self) -> float:
        problem = replace(self, dim=2, hole=0.1)
        return problem._flat(problem.example(), 10_000).double().mean().item()

    @Claim(
        "Of runs that start outside the hole descent moves this share",
        stated=0,
        within=(0, 0),
        source="f is constant there",
    )
    def share_that_moves(self) -> float:
        data = self.example()
        generator = torch.Generator().manual_seed(0)
        start = data["minimizer"] + _in_the_ball(1000, self.dim, generator)
        outside = start[self.distance(start, data) > self.hole]
        *_, end = islice(descent(self, data, outside, 1e6), 11)
        return (end != outside).any(-1).double().mean().item()

    @Claim(
        "Of random starts gradient descent solves this share",
        stated=0.4621,
        within=about(0.4621, abs=0.0237),
        source="0.9430 s^dim: the hole without its rim; three standard errors of 4000 starts",
    )
    def share_of_descent(self) -> float:
        """300 steps at lr = s²/5 are a time of 60 s². With q = r²/s² the flow takes
        s² ∫ (1 − q)² e^(1/(1−q) − 1)/4q dq down to the target: 60 s² from q = 0.9430, which is a share of
        0.9430 s² of the starts in two dimensions. From nearer to the rim it takes longer."""
        return self.share_solved(4000)

    def _flat(self, data: Tree, count: int) -> torch.Tensor:
        x = data["minimizer"] + _in_the_ball(count, self.dim, torch.Generator().manual_seed(0))
        gradient = self.value_and_gradient(x, data)[1]
        return ~(gradient.any(-1) | self.hessian(x, data).flatten(-2).any(-1))


def _in_the_ball(count: int, dim: int, generator: torch.Generator) -> torch.Tensor:
    """Points (count, dim), uniform in the unit ball."""
    directions = torch.randn(count, dim, generator=generator, dtype=torch.float64)
    radii = torch.rand(count, 1, generator=generator, dtype=torch.float64) ** (1 / dim)
    return radii * directions / directions.norm(dim=-1, keepdim=True)
