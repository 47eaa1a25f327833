"""A ravine that winds like a sine, so that no straight step goes far."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from problems.claims import Claim, about
from problems.descent import descent
from problems.portrait import Plane
from problems.problem import Card, CriticalPoint, Problem, Tree
from problems.registry import register
from ravine import require


@register("winding_ravine")
@dataclass(frozen=True)
class WindingRavine(Problem):
    """A ravine whose floor is a sine: a quadratic bowl, sheared.

    f(x, y) = (c/2) u² + (b/2) (v − s sin(w u))², (u, v) = (x, y) − m; b is `across`, c is `along`.

    Where the floor crosses the ravine's line at the slope s w, the walls pull along too, and the
    Hessian's condition is b (1 + s²w²)²/c rather than b/c. The way down the floor is longer, its
    slope is less, and the largest rate that does not throw is (1 + s²w²) times smaller: gradient
    flow takes 1 + s²w²/2 times as long as down the straight one, and descent (1 + s²w²) times that
    many steps. In the coordinates (u, v − s sin(w u)) it is a bowl, so there is one critical point.
    From the floor two of Newton's steps end there; but from c/(b s w²) up the wall its bend outweighs
    c, the Hessian is indefinite, and Newton's method is thrown about.

    shear: s w, the steepest slope of the floor. 0 is a straight ravine.
    swing: s.
    across: b.
    along: c.

    Deep Learning, sections 8.2.1 and 8.2.7: long arcs.
    """

    shear: float = 3.0
    swing: float = 1.0
    across: float = 1.0
    along: float = 0.01

    card = Card(
        dial="shear",
        scale="linear",
        ladder=(0.0, 3.0, 8.0),
        target=1e-4,
        budget=1000,
        reference=("saddle_free_newton", {"lr": 1.0, "damping": 3e-4}),
        control={"shear": 0.0},
        removes={"long_path": {"shear": 0.0}},
        signature="time of gradient flow down the floor, from the start's end of it to a tenth of "
        "that, over the time down a straight one",
        threshold=2.0,
        truth="One critical point, the minimum 0 at m. There the Hessian is "
        "[[c + b s²w², −b s w], [−b s w, b]], whose determinant is b c.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.1",
        exceptions={"random_search": "its 3000 trials are simply enough in two dimensions"},
    )

    def __post_init__(self) -> None:
        require("winding_ravine", "shear", self.shear, low=0)
        for name in ("swing", "across", "along"):
            require("winding_ravine", name, getattr(self, name), low=0, open_low=True)

    def floor_line(self, u: torch.Tensor) -> torch.Tensor:
        """Where the floor is, beside u: s sin(w u)."""
        return self.swing * (self.shear / self.swing * u).sin()

    def instance(self, generator: torch.Generator) -> Tree:
        """From 5 to 10 swings out, on either side, and up a wall that holds about as much as the floor."""
        minimizer = torch.randn(2, generator=generator)
        out, side = torch.rand(2, generator=generator)
        u = self.swing * (5 + 5 * out) * (1 if side < 0.5 else -1)
        wall = math.sqrt(self.along / self.across) * u * torch.randn((), generator=generator)
        return {
            "start": minimizer + torch.stack([u, self.floor_line(u) + wall]),
            "minimizer": minimizer,
        }

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        u, v = (x - data["minimizer"]).unbind(-1)
        return 0.5 * (self.along * u.square() + self.across * (v - self.floor_line(u)).square())

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        u, v = (x - data["minimizer"]).unbind(-1)
        wall = math.sqrt(self.across) * (v - self.floor_line(u))
        return torch.stack([math.sqrt(self.along) * u, wall], -1)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (x - data["minimizer"]).norm(dim=-1)

    def minimizers(self, data: Tree) -> torch.Tensor:
        return data["minimizer"][None]

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        return (CriticalPoint(data["minimizer"], 0.0, index=0),)

    def signature(self, data: Tree) -> float:
        """The sum over pieces of the floor of their length over the slope of f along them, ds²/(−g·ds)."""
        u = (data["start"] - data["minimizer"])[0] * torch.logspace(0, -1, 4001)
        piece = torch.stack([u, self.floor_line(u)], -1)
        middle = (u[1:] + u[:-1]) / 2
        points = data["minimizer"] + torch.stack([middle, self.floor_line(middle)], -1)
        pull = -(self.value_and_gradient(points, data)[1] * piece.diff(dim=0)).sum(-1)
        time = (piece.diff(dim=0).square().sum(-1) / pull).sum()
        return (time * self.along / math.log(10)).item()

    def condition(self) -> float:
        """λmax/λmin at the minimum, from the Hessian's trace and determinant."""
        trace = self.along + self.across * (1 + self.shear**2)
        ratio = trace**2 / (self.across * self.along)  # (κ + 1)²/κ
        return (ratio - 2 + math.sqrt(ratio * (ratio - 4))) / 2

    def _steep(self) -> WindingRavine:
        """The ravine of the figures stated."""
        return replace(self, shear=1.0, swing=1.0, across=100.0, along=0.01)

    def _curvatures(self) -> list[float]:
        problem = self._steep()
        data = problem.example()
        return torch.linalg.eigvalsh(problem.hessian(data["minimizer"], data)).tolist()

    @Claim(
        "the smallest curvature at the minimum, for c = 0.01, b = 100, s = w = 1",
        stated=0.0049999,
        within=about(0.0049999, abs=5e-8),
        source="derived: the Hessian's trace b (1 + s²w²) + c and determinant b c",
    )
    def smallest_curvature(self) -> float:
        return self._curvatures()[0]

    @Claim(
        "the largest curvature there",
        stated=200.005,
        within=about(200.005, abs=5e-6),
        source="derived, likewise: 200.01 is the trace",
    )
    def largest_curvature(self) -> float:
        return self._curvatures()[1]

    @Claim(
        "the condition there, near b (1 + s²w²)²/c = 40000",
        stated=40002.0,
        within=about(40002.0, abs=0.05),
        source="derived: κ + 2 + 1/κ = trace²/determinant = 40004.0001",
    )
    def condition_at_minimum(self) -> float:
        smallest, largest = self._curvatures()
        return largest / smallest

    @Claim(
        "the share of the way along the floor that is pulled across rather than along, on the wall",
        stated="above 100",
        within=(100.0, math.inf),
        source="derived: b |v − s sin(w u)| over c |u|",
    )
    def pull_across(self) -> float:
        """A tenth of a swing up the wall, at the start's u, the gradient across over that along the floor."""
        problem = self._steep()
        data = problem.example()
        u = (data["start"] - data["minimizer"])[0]
        wall = data["minimizer"] + torch.stack([u, problem.floor_line(u) + 0.1 * problem.swing])
        slope = problem.shear * (problem.shear / problem.swing * u).cos()
        tangent = torch.stack([torch.ones_like(u), slope]) / (1 + slope**2).sqrt()
        normal = torch.stack([-tangent[1], tangent[0]])
        gradient = problem.value_and_gradient(wall, data)[1]
        return ((gradient @ normal) / (gradient @ tangent)).abs().item()

    @Claim(
        "the time of slow descent down the floor over that down the straight one, over 1 + s²w²/2",
        stated=1.0,
        within=about(1.0, rel=0.05),
        source="derived: gradient flow",
    )
    def slowdown(self) -> float:
        """On the floor u' = −c u/(1 + s²w² cos²(w u)), and cos² is ½ on the mean over many windings.

        From 30 swings out to 10, at half the largest rate. The walls hold back a share c/b of the
        speed, 1 %, and the mean over ten windings is as near to ½ as their rest.
        """
        problem = replace(self, shear=3.0, swing=1.0, across=1.0, along=0.01)
        data, lr = problem.example(), 1 / (1 + problem.shear**2)
        u = torch.tensor(30.0)
        x, steps = data["minimizer"] + torch.stack([u, problem.floor_line(u)]), 0
        points = descent(problem, data, x, lr)
        while (next(points) - data["minimizer"])[0] > 10:
            steps += 1
        time = steps * lr * problem.along / math.log(3)
        return time / (1 + problem.shear**2 / 2)

    @Claim(
        "Newton's steps from the floor to 1e-20 of the loss there, the most over ten starts at shear 8",
        stated=2.0,
        within=(2.0, 2.0),
        source="derived",
    )
    def newton_steps(self) -> float:
        """On the floor the step is −u along its tangent; and at u = 0, where the wall is not bent, to the minimum."""
        problem, most = replace(self, shear=8.0), 0
        for seed in range(10):
            data = problem.example(seed)
            u = (data["start"] - data["minimizer"])[0]
            x = start = data["minimizer"] + torch.stack([u, problem.floor_line(u)])
            steps = 0
            while problem.loss(x, data) > 1e-20 * problem.loss(start, data):
                gradient = problem.value_and_gradient(x, data)[1]
                x = x - torch.linalg.solve(problem.hessian(x, data), gradient)
                steps += 1
            most = max(most, steps)
        return float(most)

    def portrait(self) -> Plane:
        data = {"minimizer": torch.zeros(2)}
        u = torch.tensor(6.0)
        return Plane(
            caption="Steps that the walls allow are short beside the bends: descent follows each, and heavy "
            "ball is carried past them.",
            window=((-2.0, 7.0), (-2.5, 2.5)),
            paths=(
                ("sgd", {"lr": 0.15}),
                ("momentum", {"lr": 0.05, "momentum": 0.95}),
                ("newton", {}),
            ),
            steps=400,
            start=data["minimizer"] + torch.stack([u, self.floor_line(u)]),
        )
