"""A well so narrow that from afar there is next to nothing to follow, though it always points the right way."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.one_minimum import OneMinimum
from problems.problem import Card, CriticalPoint, Tree, dial
from problems.registry import register
from ravine import bounded


def exponential_integral(x: float) -> float:
    """Return Ei(x) for x > 0: γ + ln x + Σ xᵏ/(k k!), whose terms are all positive."""
    total, term = 0.5772156649015329 + math.log(x), 1.0
    for k in range(1, 200 + int(3 * x)):
        term *= x / k
        total += term / k
    return total


def flow_time(start: float, end: float) -> float:
    """Return the time that the flow dr/dt = −r e^(−r²/2) takes from one distance to a smaller one.

    It is ∫ e^(r²/2)/r dr, and with u = r²/2 that is ½ ∫ eᵘ/u du.
    """
    return (exponential_integral(start**2 / 2) - exponential_integral(end**2 / 2)) / 2


def breaking_point_of_descent(problem: Needle, budget: float) -> float:
    """Return the distance from which the flow takes twice the budget to reach the well.

    Descent takes flow_time/lr steps where the slope is small, and converges in the well only for lr < 2.
    """
    low, high = 1.0, 38.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if flow_time(middle, 1.0) < 2 * budget else (low, middle)
    return low


@register("needle")
@dataclass(frozen=True)
class Needle(OneMinimum):
    """A Gaussian well, from so far that its slope is next to nothing, though it always points the right way.

    f = 1 − e^(−r²/2), r = |x − m|: lengths are in units of the well's width.

    m is the only critical point, and descent gets there: the flow takes ½ [Ei(r₀²/2) − Ei(½)] ≈ e^(r₀²/2)/r₀²
    to r = 1, which is 220 from r₀ = 4, 11,782 from 5 and 1.9 million from 6. All curvatures are as small as the
    slope: e^(−r²/2), and e^(−r²/2) (1 − r²) towards m, so that Newton's step leads away from m. A method that
    normalizes the gradient takes r₀ over its step, until rounding makes the gradient exactly zero: beyond r = 14
    in float32 and 38.6 in float64. One that normalizes down to a least norm, as Adam to its ε = 1e-8, has next to
    nothing to follow from about r = 6.5 on.

    dim: x is (dim,).
    radius: r₀, where runs start.

    Deep Learning, section 8.2.3; a differentiable needle in a haystack.
    """

    dim: int = bounded(10, low=1)
    radius: float = dial(5.0, above=0, high=38)

    card = Card(
        scale="linear",
        ladder=(1.0, 6.0, 12.0),
        target=1e-4,
        budget=1000,
        reference=("normalized_sgd", {"lr": 0.02}),
        control={"radius": 1.0},
        breaks=("sgd", "plateau"),
        signature="time the flow takes at its first speed, over that at the speed of a bowl of the same curvature",
        threshold=100.0,
        truth="The minimum is 0, at m, the only critical point. Descent takes the time "
        "½ [Ei(r₀²/2) − Ei(½)], in units of 1/lr; a method of fixed steps r₀ over its step.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.3",
        theory={"sgd": breaking_point_of_descent},
        exceptions={
            "smooth": "differences are taken over the length 2/|g| at the start, which spans the whole well"
        },
    )

    def instance(self, generator: torch.Generator) -> Tree:
        direction, minimizer = torch.randn(2, self.dim, generator=generator)
        start = minimizer + self.radius * direction / direction.norm()
        return {"start": start, "minimizer": minimizer}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Compute 1 − e^u, not −expm1(u), whose gradient (expm1(u) + 1) ∂u rounds to 0 from r = 8.6 on."""
        return 1 - (-0.5 * (x - data["minimizer"]).square().sum(-1)).exp()

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        return (CriticalPoint(data["minimizer"], 0.0, 0),)

    def signature(self, data: Tree) -> float:
        """Return r₀/|g| over 1/λ, λ the curvature at m: e^(r₀²/2)."""
        curvature = torch.linalg.eigvalsh(self.hessian(data["minimizer"], data))[-1]
        slope = self.value_and_gradient(data["start"], data)[1].norm()
        return (curvature * self.distance(data["start"], data) / slope).item()
