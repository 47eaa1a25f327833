"""A bowl whose curvature grows with its gradient, beside a long gentle slope."""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass, replace

import torch

from problems.claims import Claim, about
from problems.descent import descent
from problems.geometry import random_rotation
from problems.portrait import Curves
from problems.problem import Card, CriticalPoint, Problem, Tree
from problems.registry import register
from ravine import Refused, require

LENGTH = 10.0  # of the slope: |y| at the start
BOTTOM = 1.0  # |y| from which on it is straight


def breaking_point_of_descent(problem: GeneralizedSmoothness, budget: float) -> float:
    """The radius at which descent at the largest stable rate needs the whole budget."""
    radii = [each / 100 for each in range(1, 4001)]
    first = bisect.bisect_left(
        radii, budget, key=lambda radius: replace(problem, radius=radius).steps_of_descent()
    )
    return radii[first] if first < len(radii) else math.inf


@register("generalized_smoothness")
@dataclass(frozen=True)
class GeneralizedSmoothness(Problem):
    """A bowl with walls like eˣ, beside a slope: whose steps are safe on the wall never get down the slope.

    f = (cosh(L x) − 1)/L² + ψ(y), ψ(y) = s (|y| − 1) + ⅝ s for |y| ≥ 1, else ⅛ s (6 y² − y⁴); x and y are
    coordinates along rotated axes from the minimizer. L = growth, s = slope.

    The curvature is at most 1 + L |∇f|, and on the wall no less: it grows with the gradient without
    bound, which "smooth" functions forbid. From x = R, y = 10 gradient descent at a constant rate
    diverges unless the rate is below 2R/M, M = sinh(L R)/L, the gradient there; at that rate the slope
    takes (10 − 1) M/(2 s R) steps and more: exponentially many in R. Steps whose length is clipped at γ
    climb down the wall in R/γ, and then go along the slope at the rate that suits the bottom.

    At large R the start's loss is all wall; solved means f ≤ target · ψ(10), the slope's height.

    radius: R.
    growth: L, of the curvature with the gradient; towards 0 the bowl is ½ x².
    slope: s, of ψ at a distance.

    Zhang, He, Sra & Jadbabaie 2020, arXiv:1905.11881, with (L₀, L₁) = (1, growth); ψ is the piece of
    their lower bound, twice continuously differentiable.
    """

    radius: float = 6.0
    growth: float = 1.0
    slope: float = 0.1

    card = Card(
        dial="radius",
        scale="linear",
        ladder=(2.0, 6.0, 12.0),
        quick={},
        target=1e-4,
        budget=1000,
        reference=("clipped_sgd", {"lr": 0.9, "threshold": 0.5 / 0.9}),
        control={"growth": 0.01},
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
        require("generalized_smoothness", "radius", self.radius, low=0, open_low=True)
        require("generalized_smoothness", "growth", self.growth, low=0, open_low=True)
        require("generalized_smoothness", "slope", self.slope, low=0, open_low=True, high=2 / 3)
        if (
            self.radius * self.growth > 40
        ):  # float32's largest number is cosh 89, and gradients are squared
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
        """In the rotated axes the gradient is (sinh(L x)/L, s/2 (3 b − b³)), b = y within the bottom."""
        steep, gentle = self._along(x, data)
        bottom = gentle.clamp(-BOTTOM, BOTTOM)
        falls = self.slope / 2 * bottom * (3 - bottom.square())
        along = torch.stack([(self.growth * steep).sinh() / self.growth, falls], -1)
        return self._value(steep, gentle), torch.einsum("...j,...ij->...i", along, data["axes"])

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Along the rotated axes cosh L x and, within the bottom, 3s/2 (1 − y²)."""
        steep, gentle = self._along(x, data)
        flat = 3 / 2 * self.slope * (1 - gentle.clamp(-BOTTOM, BOTTOM).square())
        curvature = torch.stack([(self.growth * steep).cosh(), flat], -1)
        return torch.einsum("...ij,...j,...kj->...ik", data["axes"], curvature, data["axes"])

    def _along(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, ...]:
        """The coordinates x and y."""
        return torch.einsum("...i,...ij->...j", x - data["minimizer"], data["axes"]).unbind(-1)

    def _value(self, steep: torch.Tensor, gentle: torch.Tensor) -> torch.Tensor:
        bottom = gentle.clamp(-BOTTOM, BOTTOM)
        square = bottom.square()
        # cosh z − 1 = 2 sinh²(z/2) keeps its digits where z is small.
        wall = 2 * (self.growth / 2 * steep).sinh().square() / self.growth**2
        return wall + self.slope * (square * (6 - square) / 8 + gentle.abs() - bottom.abs())

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def solved(
        self, x: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor | None, data: Tree
    ) -> torch.Tensor:
        """Against the slope's height: that of the wall is exponential in R."""
        return self.loss(x, data) <= self._accepted

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (x - data["minimizer"]).norm(dim=-1)

    def minimizers(self, data: Tree) -> torch.Tensor:
        return data["minimizer"][None]

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        return (CriticalPoint(data["minimizer"], 0.0, 0),)

    def signature(self, data: Tree) -> float:
        start, end = (
            torch.linalg.eigvalsh(self.hessian(point, data))[-1]
            for point in (data["start"], data["minimizer"])
        )
        return (start / end).item()

    def largest_rate(self) -> float:
        """2R/M: at it, descent jumps from R to −R and back for ever, below it x shrinks, above it grows.

        For |x − η M(x)| < |x| is η < 2x/M(x), which is least where |x| is largest.
        """
        return 2 * self.radius * self.growth / math.sinh(self.growth * self.radius)

    def steps_of_descent(self) -> float:
        """How many steps the slope takes at that rate.

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

    # What is known.

    def measured_steps(self, radii: list[float], clipped: bool) -> torch.Tensor:
        """Steps that descent needs from each of these radii: at 0.98 of the largest rate, or clipped.

        At 1 x would not shrink at all. The clipped one has the rate 0.9 and steps of at most ½.
        """
        data, x, rates = {}, [], []
        for radius in radii:
            problem = replace(self, radius=radius)
            data = problem.example()
            x.append(data["start"])
            rates.append(0.9 if clipped else 0.98 * problem.largest_rate())
        threshold = 0.5 / 0.9 if clipped else math.inf
        path = descent(self, data, torch.stack(x), torch.tensor(rates)[:, None], 0.0, threshold)
        steps = torch.full((len(radii),), math.nan)
        for step, point in enumerate(itertools.islice(path, 200_000)):
            solved = self.solved(point, point[..., 0], None, data) & steps.isnan()
            if solved.any():
                steps[solved] = float(step)
                if not steps.isnan().any():
                    break
        return steps

    @Claim(
        "the slope of ln(steps of gradient descent) over R, between 4 and 6",
        stated="1 − ln(6/4)/2 = 0.797, on its way to 1",
        within=about(0.7973, abs=0.005),  # of whole steps, and of some in which x goes to 0
        source="Zhang et al. 2020, theorem 4: M/R, M = sinh R",
    )
    def slope_of_descent(self) -> float:
        first, second = self.measured_steps([4.0, 6.0], clipped=False).log().tolist()
        return (second - first) / 2

    @Claim(
        "the same between 8 and 10",
        stated="1 − ln(10/8)/2 = 0.888",
        within=about(0.8884, abs=0.005),
        source="Zhang et al. 2020, theorem 4",
        slow=True,
    )
    def slope_of_descent_farther_out(self) -> float:
        first, second = self.measured_steps([8.0, 10.0], clipped=False).log().tolist()
        return (second - first) / 2

    @Claim(
        "steps of gradient descent from R = 6, over those that its theory foretells at 0.98 of the rate",
        stated=1.0,
        within=about(1.0, abs=0.01),  # a step is 1/2300 of them, and x takes some dozens to settle
        source="steps_of_descent",
    )
    def steps_over_theory(self) -> float:
        steps = self.measured_steps([6.0], clipped=False).item()
        return 0.98 * steps / replace(self, radius=6.0).steps_of_descent()

    @Claim(
        "more steps of clipped descent per unit of R, at step lengths of at most γ = ½",
        stated="1/γ = 2",
        within=about(2.0, abs=0.1),  # of whole steps over the ten units from 2 to 12
        source="Zhang et al. 2020, theorem 3: the wall is climbed down in steps of length γ",
    )
    def slope_of_clipped_descent(self) -> float:
        first, second = self.measured_steps([2.0, 12.0], clipped=True).tolist()
        return (second - first) / 10

    @Claim(
        "the largest curvature over 1 + L |∇f|, among 10,000 points",
        stated="at most 1",
        within=(0.5, 1.0),  # near 1 on the wall; a wall like x⁴ would stay far below
        source="Zhang et al. 2020, definition 1: cosh ≤ 1 + |sinh|, and ψ'' ≤ 3s/2 ≤ 1",
    )
    def generalized_smoothness(self) -> float:
        data = self.example()
        size = torch.tensor([self.radius, LENGTH])
        points = 2 * torch.rand(10_000, 2, generator=torch.Generator().manual_seed(1)) - 1
        x = data["minimizer"] + (points * size) @ data["axes"].T
        curvature = torch.linalg.eigvalsh(self.hessian(x, data))[:, -1]
        slope = self.value_and_gradient(x, data)[1].norm(dim=-1)
        return (curvature / (1 + self.growth * slope)).max().item()

    @Claim(
        "the largest rate at which descent does not go up from R = 8, over 2R/M",
        stated=1.0,
        within=about(1.0, abs=0.001),  # twice the grid of rates
        source="Zhang et al. 2020, proof of theorem 4",
    )
    def largest_rate_measured(self) -> float:
        problem = replace(self, radius=8.0)
        data = problem.example()
        shares = torch.linspace(0.95, 1.05, 201)
        x = data["start"].expand(201, 2)
        path = descent(problem, data, x, problem.largest_rate() * shares[:, None])
        end = next(itertools.islice(path, 300, None))
        stable = problem.loss(end, data) <= problem.loss(x, data)
        return shares[stable].max().item()

    def portrait(self) -> Curves:
        radii = [1.0, 2.0, 3.0, 4.0, 5.0]
        fine = torch.linspace(1, 12, 100, dtype=torch.float64)
        predicted = [replace(self, radius=each).steps_of_descent() for each in fine.tolist()]
        far = [*radii, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0]
        clipped = self.measured_steps(far, clipped=True)
        return Curves(
            caption="From farther up the wall gradient descent at its largest stable rate needs "
            "exponentially more steps; clipped at a step length of ½ it needs 2 more per unit.",
            x_label="R",
            y_label="steps to the minimum",
            lines={
                "gradient descent, theory": (fine, torch.tensor(predicted)),
                "clipped, theory": (fine, clipped[0] + 2 * (fine - far[0])),
            },
            dots={
                "gradient descent": (
                    torch.tensor(radii),
                    self.measured_steps(radii, clipped=False),
                ),
                "clipped": (torch.tensor(far), clipped),
            },
            y_scale="log",
        )
