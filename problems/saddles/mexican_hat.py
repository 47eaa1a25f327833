"""A hat with a round brim: its top is a maximum that attracts Newton's method."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import islice

import torch

from problems.claims import Claim, about
from problems.portrait import Plane
from problems.problem import Card, CriticalPoint, Problem, Tree
from problems.registry import register
from problems.saddles.newton_iteration import directions_down, end_of_newton, newton_iteration
from ravine import require

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

    dim: int = 10
    radius: float = 0.1

    card = Card(
        dial="radius",
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

    def __post_init__(self) -> None:
        require("mexican_hat", "dim", self.dim, low=1, whole=True)
        require("mexican_hat", "radius", self.radius, low=0, high=0.95, open_low=True)

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

    def portrait(self) -> Plane:
        data = self.example()
        aside = torch.linalg.svd(data["direction"][None]).Vh[1]
        return Plane(
            caption="From a start near the top Newton's method climbs to the top; the others go down to "
            "the brim.",
            window=((-1.4, 1.4), (-1.4, 1.4)),
            paths=(
                ("newton", {"lr": 1.0}),
                ("sgd", {"lr": 0.1}),
                ("saddle_free_newton", {"lr": 1.0, "damping": 0.1}),
            ),
            steps=60,
            origin=data["center"],
            axes=torch.stack([data["direction"], aside]),
            x_label="along the start's direction",
            y_label="across",
        )

    @Claim(
        "distance from the top below which a step of Newton's method leads nearer to it",
        stated=BOUNDARY,
        within=about(BOUNDARY, abs=1e-12),  # bisected to rounding
        source="2r³/(1 − 3r²) = r",
    )
    def boundary(self) -> float:
        low, high = 0.4, 0.5
        for _ in range(45):
            middle = (low + high) / 2
            low, high = (middle, high) if self.newton_step(middle) < middle else (low, middle)
        return low

    @Claim(
        "share of the starts with r₀ uniform in [0, 1] that lead Newton's method to the top",
        stated=BOUNDARY,
        within=about(BOUNDARY, abs=1e-4),  # two of the 20,000 starts, which escape slowly
        source="from beyond 1/√5 |2r³/(3r² − 1)| > r, until r > 1/√3",
    )
    def newton_share(self) -> float:
        """Of 20,000 evenly spaced starts on a line."""
        problem = replace(self, dim=1)
        x = (torch.arange(20_000.0) + 0.5).unsqueeze(-1) / 20_000
        data = {"center": torch.zeros(1)}
        ends = next(islice(newton_iteration(problem, data, x), 25, None))
        return (ends.abs() < 0.1).double().mean().item()

    @Claim(
        "share of the starts with r₀ uniform in [0, 1] that lead saddle-free Newton to the top",
        stated=0.0,
        within=(0.0, 0.0),
        source="Dauphin et al. 2014: r + r(1 − r²)/(1 − 3r²) > 2r",
    )
    def saddle_free_share(self) -> float:
        """Of 1000 starts, by x ← x − |H|⁻¹ g, in the problem's own dimension."""
        data = self.example()
        radii = (torch.arange(1000.0) + 0.5).unsqueeze(-1) / 1000
        x = data["center"] + radii * data["direction"]
        for _ in range(40):
            curvatures, basis = torch.linalg.eigh(self.hessian(x, data))
            gradient = self.value_and_gradient(x, data)[1]
            along = torch.einsum("...ij,...i->...j", basis, gradient)
            along = torch.where(along.abs() > 1e-12, along / curvatures.abs(), 0.0)
            x = x - torch.einsum("...ij,...j->...i", basis, along)
        return ((x - data["center"]).norm(dim=-1) < 0.5).double().mean().item()

    @Claim(
        "rate at which descent leaves the top, over lr·r₀",
        stated=1.0,
        within=about(1.0, abs=1e-4),  # r₀² = 1e-6 of it bends
        source="the curvature at the top is −1",
    )
    def escape_rate(self) -> float:
        """One step at the rate 0.1 from r₀ = 1e-3."""
        data = replace(self, radius=1e-3).example()
        gradient = self.value_and_gradient(data["start"], data)[1]
        return -(gradient @ data["direction"]).item() / 1e-3

    def newton_step(self, radius: float) -> float:
        """How far from the top a step of Newton's method from there ends."""
        data = replace(self, radius=radius).example()
        end = end_of_newton(self, data, steps=1)
        return (end - data["center"]).norm().item()
