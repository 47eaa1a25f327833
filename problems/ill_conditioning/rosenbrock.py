"""Rosenbrock's valley: curved like a banana, flat along and steep across."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.problem import Card, CriticalPoint, Problem, Tree, dial
from problems.registry import register
from ravine import bounded

SECOND = {
    4: 3.701428610,
    5: 3.930839434,
    6: 3.973940501,
    7: 3.983600536,
    8: 3.98588777,
    12: 3.98662110,
    30: 3.98662385,
}  # the loss at the second minimum, by dim, for b = 100


@register("rosenbrock")
@dataclass(frozen=True)
class Rosenbrock(Problem):
    """A curved valley, a banana: to find it is easy, to follow it is not.

    f(x) = Σ b (x_{i+1} − x_i²)² + (1 − x_i)² over i < dim, the variant in which all are coupled; that
    of disjoint pairs has one critical point in every dimension.

    On the valley's floor, x_{i+1} = x_i², the gradient points neither along the floor nor towards
    the minimum, and the curvature across is b to 25 b times that along. Starts lie on the floor, at
    x₁ from −1 to −0.6, but for b^-½ z: at about the same height for every b. In two dimensions the way
    is around the bend at 0. From four on a second minimum near (−1, 1, …, 1) lies on it, at f = 3.70 to
    3.99, and most descents end there: the column `second` counts them.

    b: how steep the walls are.
    dim: 2 is what is ranked.

    Rosenbrock 1960, "An automatic method for finding the greatest or least value of a function";
    Shang & Qiu 2006, doi:10.1162/evco.2006.14.1.119; Kok & Sandrock 2009,
    doi:10.1162/evco.2009.17.3.437.
    """

    b: float = dial(100.0, above=0)
    dim: int = bounded(2, low=2)

    card = Card(
        scale="log",
        ladder=(1.0, 100.0, 1e5),
        target=1e-4,
        budget=1000,
        reference=("newton", {}),
        control={"b": 1.0},
        breaks=("sgd", "ill_conditioning"),
        signature="largest over smallest curvature at the minimum",
        threshold=100.0,
        truth="The minimum is 0, at 1 in every coordinate; in two and three dimensions there is no "
        "other critical point, and from four on one other minimum is known, near (−1, 1, …, 1).",
        source="Rosenbrock 1960; Shang & Qiu 2006; Kok & Sandrock 2009",
    )

    def instance(self, generator: torch.Generator) -> Tree:
        first = -1 + 0.4 * torch.rand((), generator=generator)
        beside = torch.randn(self.dim, generator=generator) / math.sqrt(self.b)
        beside[0] = 0
        return {"start": first**2.0 ** torch.arange(self.dim) + beside}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        here, after = x[..., :-1], x[..., 1:]
        return (self.b * (after - here.square()).square() + (1 - here).square()).sum(-1)

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        here, after = x[..., :-1], x[..., 1:]
        walls = math.sqrt(2 * self.b) * (after - here.square())
        return torch.cat([walls, math.sqrt(2) * (1 - here)], -1)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (x - 1).norm(dim=-1)

    def minimizers(self, data: Tree) -> torch.Tensor:
        return torch.ones_like(data["start"])[None]

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return the minimum, and the second one where its loss is stated."""
        minimum = CriticalPoint(torch.ones_like(data["start"]), 0.0, index=0)
        if self.b != 100 or self.dim not in SECOND:
            return (minimum,)
        return minimum, CriticalPoint(self.second_minimum(), SECOND[self.dim], index=0)

    def signature(self, data: Tree) -> float:
        curvatures = torch.linalg.eigvalsh(self.hessian(torch.ones_like(data["start"]), data))
        return (curvatures[-1] / curvatures[0]).item()

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        """Return whether a run ended on the second minimum's side, x₁ < 0, from four dimensions on."""
        return {"second": (x[..., 0] < 0).to(x.dtype)} if self.dim >= 4 else {}

    def second_minimum(self) -> torch.Tensor:
        """Return where Newton's method comes to rest from (−1, 1, …, 1): (dim,)."""
        x = torch.ones(self.dim, dtype=torch.float64)
        x[0] = -1
        for _ in range(50):
            gradient = self.value_and_gradient(x, {})[1]
            x = x - torch.linalg.solve(self.hessian(x, {}), gradient)
        return x
