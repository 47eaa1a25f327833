"""A saddle that is left along a direction far flatter than all others."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.geometry import random_rotation
from problems.problem import Card, CriticalPoint, Problem, Tree, dial
from problems.registry import register
from problems.saddles.newton_iteration import directions_down
from ravine import bounded


def breaking_point_of_descent(problem: StrictSaddle, budget: float) -> float:
    """Return the ratio at which the flow just reaches the target in the time 2 budget, at the rate 2.

    u = m y²/4 obeys u/(1 − u) = δ²/(1 − δ²) · e^(2mt); the loss is (1 − u)², at the start 1 + (dim − 1)/2
    on average. Infinite where the start is on target along y already.
    """
    u = 1 - math.sqrt(problem.card.target * (1 + (problem.dim - 1) / 2))
    growth = (1 / problem.offset**2 - 1) * u / (1 - u)
    return 4 * budget / math.log(growth) if growth > 1 else math.inf


def breaking_point_of_newton(problem: StrictSaddle, budget: float) -> float:
    """Return 1, the least ratio, where Newton's method ends on the saddle, and infinity where it does not."""
    return 1.0 if problem.offset < 1 / math.sqrt(5) else math.inf


@register("strict_saddle")
@dataclass(frozen=True)
class StrictSaddle(Problem):
    """A saddle that is left along a direction far flatter than all others.

    f(x) = ½ Σ λ_i z_i² + (1 − m y²/4)², (z, y) = Qᵀ(x − c), λ from m to 1.

    The saddle is at c, at the height 1, the minima at y = ±2/√m. A step of descent, at a rate below 2,
    multiplies a small y by 1 + lr·m: from y = δ·2/√m it takes ln(1/δ)/(lr·m) steps to leave. Newton's method
    ends on the saddle from within δ = 1/√5; with |H| for H each of its steps doubles y.

    The start has y = ±δ·2/√m and z_i from N(0, 1/λ_i), so that all of these modes add alike to the loss.

    dim: x is (dim,), one of which is y.
    ratio: 1/m, the largest curvature over the saddle's negative one.
    offset: δ, the start's distance from the ridge y = 0 over that of the minima.

    Lee, Simchowitz, Jordan & Recht 2016, arXiv:1602.04915; Deep Learning, section 8.2.3.
    """

    dim: int = bounded(10, low=1)
    ratio: float = dial(300.0, low=1, high=1e8)
    offset: float = bounded(1e-3, low=1e-10, high=1)

    card = Card(
        scale="log",
        ladder=(1.0, 1e2, 1e5),
        target=1e-4,
        budget=1000,
        reference=("saddle_free_newton", {"lr": 1.0, "damping": 1e-7}),
        control={"offset": 1.0},
        breaks=("sgd", "saddle"),
        same=("plateau",),
        signature="directions down where Newton's method ends",
        threshold=1.0,
        truth="Two minima, 0 at z = 0, y = ±2/√m; one saddle, 1 at c, with one direction down. The flow "
        "has y²(t) = (4/m)/(1 + (δ⁻² − 1) e^(−2mt)).",
        source="Lee et al. 2016; Goodfellow, Bengio & Courville 2016, section 8.2.3",
        theory={"sgd": breaking_point_of_descent, "newton": breaking_point_of_newton},
    )

    def curvatures(self) -> torch.Tensor:
        """Return the λ_i, log-uniform from 1 to m: (dim − 1,)."""
        steps = torch.arange(self.dim - 1, dtype=torch.float64)
        return self.ratio ** -(steps / max(self.dim - 2, 1))

    def instance(self, generator: torch.Generator) -> Tree:
        center = torch.randn(self.dim, generator=generator)
        whitened = torch.randn(self.dim - 1, generator=generator)
        side = torch.randint(2, (1,), generator=generator) * 2.0 - 1
        basis = random_rotation(self.dim, generator)
        start = torch.cat([whitened / self.curvatures().sqrt(), side * self.offset * self._length])
        return {"start": center + basis @ start, "center": center, "basis": basis}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.value_and_gradient(x, data)[0]

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        along = torch.einsum("...i,...ij->...j", x - data["center"], data["basis"])
        z, y = along[..., :-1], along[..., -1:] / self._length
        bent = self.curvatures().to(x) * z
        missing = 1 - y * y
        value = 0.5 * (z * bent).sum(-1) + missing.square().sum(-1)
        slope = torch.cat([bent, -4 / self._length * y * missing], -1)
        return value, torch.einsum("...j,...ij->...i", slope, data["basis"])

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def minimizers(self, data: Tree) -> torch.Tensor:
        arm = self._length * data["basis"][:, -1]
        return data["center"] + torch.stack([arm, -arm])

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        away = x - data["center"]
        arm = self._length * data["basis"][..., -1]
        return torch.minimum((away - arm).norm(dim=-1), (away + arm).norm(dim=-1))

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return all three."""
        minima = (CriticalPoint(point, 0.0, index=0) for point in self.minimizers(data))
        return CriticalPoint(data["center"], 1.0, index=1), *minima

    def signature(self, data: Tree) -> float:
        return directions_down(self, data)

    @property
    def _length(self) -> float:
        """2/√m, the distance of the minima from the saddle."""
        return 2 * math.sqrt(self.ratio)
