"""Rosenbrock's valley: curved like a banana, flat along and steep across."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from problems.claims import Claim, about
from problems.portrait import Plane
from problems.problem import Card, CriticalPoint, Problem, Tree
from problems.registry import register
from ravine import require

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

    On the valley's floor, x_{i+1} = x_i², the gradient points along neither the floor nor towards
    the minimum, and the curvature across is b to 25 b times that along. Starts lie on the floor, at
    x₁ from −1 to −0.6, but for b^-½ z: at the same height for every b, so that what is found by
    falling into the valley does not hide what is left. In two dimensions the way is around the
    bend at 0. From four on a second minimum near (−1, 1, …, 1) lies on it, at f = 3.70 to 3.99,
    and most descents end there: the column `second` tells how many.

    b: how steep the walls are.
    dim: 2 is what is ranked.

    Rosenbrock 1960, "An automatic method for finding the greatest or least value of a function";
    Shang & Qiu 2006, doi:10.1162/evco.2006.14.1.119; Kok & Sandrock 2009,
    doi:10.1162/evco.2009.17.3.437.
    """

    b: float = 100.0
    dim: int = 2

    card = Card(
        dial="b",
        scale="log",
        ladder=(1.0, 100.0, 1e5),
        target=1e-4,
        budget=1000,
        reference=("newton", {}),
        control={"b": 1.0},
        signature="largest over smallest curvature at the minimum",
        threshold=100.0,
        truth="The minimum is 0, at 1 in every coordinate; in two and three dimensions there is no "
        "other critical point, and from four on one other minimum is known, near (−1, 1, …, 1).",
        source="Rosenbrock 1960; Shang & Qiu 2006; Kok & Sandrock 2009",
    )

    def __post_init__(self) -> None:
        require("rosenbrock", "b", self.b, low=0, open_low=True)
        require("rosenbrock", "dim", self.dim, low=2, whole=True)

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
        """The minimum, and the second one where its loss is stated."""
        minimum = CriticalPoint(torch.ones_like(data["start"]), 0.0, index=0)
        if self.b != 100 or self.dim not in SECOND:
            return (minimum,)
        return minimum, CriticalPoint(self.second_minimum(), SECOND[self.dim], index=0)

    def signature(self, data: Tree) -> float:
        curvatures = torch.linalg.eigvalsh(self.hessian(torch.ones_like(data["start"]), data))
        return (curvatures[-1] / curvatures[0]).item()

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        """From four dimensions on: whether a run ended on the second minimum's side, x₁ < 0."""
        return {"second": (x[..., 0] < 0).to(x.dtype)} if self.dim >= 4 else {}

    # What is known of it.

    def second_minimum(self) -> torch.Tensor:
        """Where Newton's method comes to rest from (−1, 1, …, 1): (dim,)."""
        x = torch.ones(self.dim, dtype=torch.float64)
        x[0] = -1
        for _ in range(50):
            gradient = self.value_and_gradient(x, {})[1]
            x = x - torch.linalg.solve(self.hessian(x, {}), gradient)
        return x

    def _at_minimum(self, dim: int) -> list[float]:
        problem = replace(self, dim=dim)
        return torch.linalg.eigvalsh(problem.hessian(torch.ones(dim), {})).tolist()

    def _at_second(self) -> dict[int, tuple[float, float, float]]:
        """By dim: the loss, the gradient's norm and the smallest curvature at the second minimum."""
        found = {}
        for dim in SECOND:
            problem = replace(self, dim=dim)
            x = problem.second_minimum()
            value, gradient = problem.value_and_gradient(x, {})
            curvatures = torch.linalg.eigvalsh(problem.hessian(x, {}))
            found[dim] = value.item(), gradient.norm().item(), curvatures[0].item()
        return found

    def _last_residual(self, first: torch.Tensor) -> torch.Tensor:
        """∂f/∂x_dim where x₁ is given and the other components of the gradient are 0.

        With r_i = x_{i+1} − x_i² they read 2b r_{i−1} = 4b x_i r_i + 2 (1 − x_i), and give r_i, and
        x_{i+1} = x_i² + r_i, one after the other. A critical point is a zero of r_{dim−1}.
        """
        x, before = first, torch.zeros_like(first)
        for _ in range(self.dim - 1):
            before = (self.b * before - (1 - x)) / (2 * self.b * x)
            x = x.square() + before
        return before

    @Claim(
        "the smallest curvature at the minimum, in two dimensions",
        stated=0.39936,
        within=about(0.39936, abs=5e-6),
        source="derived: the Hessian is [[8b + 2, −4b], [−4b, 2b]]",
    )
    def smallest_curvature(self) -> float:
        return self._at_minimum(2)[0]

    @Claim(
        "the largest curvature there",
        stated=1001.6006,
        within=about(1001.6006, abs=5e-5),
        source="derived, likewise",
    )
    def largest_curvature(self) -> float:
        return self._at_minimum(2)[1]

    @Claim(
        "the condition there, near 25 b",
        stated=2508.01,
        within=about(2508.01, abs=0.005),
        source="derived: κ + 2 + 1/κ = (10b + 2)²/4b",
    )
    def condition(self) -> float:
        smallest, largest = self._at_minimum(2)
        return largest / smallest

    @Claim(
        "the condition at the minimum in 20 dimensions; it levels off near 3600",
        stated=3593.26,
        within=about(3593.26, abs=0.005),
        source="computed from the Hessian",
    )
    def condition_in_20_dimensions(self) -> float:
        curvatures = self._at_minimum(20)
        return curvatures[-1] / curvatures[0]

    @Claim(
        "the largest deviation of the loss at the second minimum from 3.701428610, 3.930839434, "
        "3.973940501, 3.983600536, 3.98588777, 3.98662110 and 3.98662385 in 4, 5, 6, 7, 8, 12 and 30 dimensions",
        stated=0.0,
        within=(0.0, 6e-9),  # the figures' last digit
        source="Shang & Qiu 2006: two minima in 4 to 30 dimensions",
    )
    def loss_at_second_minimum(self) -> float:
        return max(abs(value - SECOND[dim]) for dim, (value, _, _) in self._at_second().items())

    @Claim(
        "the largest gradient at those minima",
        stated=0.0,
        within=(0.0, 1e-10),
        source="derived: Newton's method is at rest",
    )
    def gradient_at_second_minimum(self) -> float:
        return max(slope for _, slope, _ in self._at_second().values())

    @Claim(
        "the smallest of all curvatures at those minima: they are minima, in more than seven dimensions too",
        stated=0.38,
        within=(0.37, 6.0),
        source="Shang & Qiu 2006",
    )
    def curvature_at_second_minimum(self) -> float:
        return min(smallest for *_, smallest in self._at_second().values())

    @Claim(
        "how far the second minimum in four dimensions is from (−.775659, .613093, .382063, .145972)",
        stated=0.0,
        within=(0.0, 1e-6),  # the figures' last digit, four times
        source="Shang & Qiu 2006",
    )
    def place_of_second_minimum(self) -> float:
        stated = torch.tensor([-0.775659, 0.613093, 0.382063, 0.145972])
        return (replace(self, dim=4).second_minimum() - stated).norm().item()

    def _critical_points(self, dim: int) -> float:
        """How many there are with x₁ from −3 to 3: sign changes of the last residual, but for its poles."""
        first = torch.linspace(-3, 3, 600_001)
        residual = replace(self, dim=dim)._last_residual(first)
        crossed = residual[1:] * residual[:-1] < 0
        pole = residual.abs()[1:].minimum(residual.abs()[:-1]) > 1
        return float((crossed & ~pole).sum())

    @Claim(
        "the critical points in three dimensions",
        stated=1.0,
        within=(1.0, 1.0),
        source="Kok & Sandrock 2009",
    )
    def critical_points_in_3_dimensions(self) -> float:
        return self._critical_points(3)

    @Claim(
        "the critical points in four dimensions: two minima and a saddle between them",
        stated=3.0,
        within=(3.0, 3.0),
        source="Kok & Sandrock 2009",
    )
    def critical_points_in_4_dimensions(self) -> float:
        return self._critical_points(4)

    @Claim(
        "the angle in degrees between −g and the floor, on it at x₁ = −0.8",
        stated=57.9946,
        within=about(57.9946, abs=1e-3),  # rounding, and the figure's last digit
        source="derived: atan(2 |x₁|)",
    )
    def angle_on_the_floor(self) -> float:
        """There g = (−2 (1 − x₁), 0) and the floor's tangent is (1, 2 x₁): descent runs into the wall."""
        x = torch.tensor([-0.8, 0.64])
        gradient = self.value_and_gradient(x, {})[1]
        cosine = torch.cosine_similarity(-gradient, torch.tensor([1.0, -1.6]), dim=0)
        return math.degrees(math.acos(cosine.item()))

    def portrait(self) -> Plane:
        return Plane(
            caption="All find the valley at once; descent creeps along its floor, Newton's method jumps.",
            window=((-1.3, 1.4), (-0.5, 1.6)),
            paths=(
                ("sgd", {"lr": 1e-3}),
                ("momentum", {"lr": 5e-4, "momentum": 0.95}),
                ("newton", {}),
            ),
            steps=400,
            start=torch.tensor([-0.9, 1.3]),
        )
