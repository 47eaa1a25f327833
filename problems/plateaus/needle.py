"""A well so narrow that from afar there is next to nothing to follow, though it always points the right way."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from problems.claims import Claim, about
from problems.descent import descent
from problems.portrait import Curves
from problems.problem import Card, CriticalPoint, Problem, Tree
from problems.registry import register
from ravine import require


def exponential_integral(x: float) -> float:
    """Ei(x) for x > 0: γ + ln x + Σ xᵏ/(k k!), whose terms are all positive."""
    total, term = 0.5772156649015329 + math.log(x), 1.0
    for k in range(1, 200 + int(3 * x)):
        term *= x / k
        total += term / k
    return total


def flow_time(start: float, end: float) -> float:
    """How long the flow dr/dt = −r e^(−r²/2) takes from one distance to a smaller one.

    ∫ e^(r²/2)/r dr, which with u = r²/2 is ½ ∫ eᵘ/u du.
    """
    return (exponential_integral(start**2 / 2) - exponential_integral(end**2 / 2)) / 2


def breaking_point_of_descent(problem: Needle, budget: float) -> float:
    """The distance from which the flow needs twice the budget's steps to reach the well.

    Rates of 2 and more do not converge in the well, whose curvature is 1, and where the slope is small descent is
    the flow: it takes flow_time/lr steps.
    """
    low, high = 1.0, 38.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if flow_time(middle, 1.0) < 2 * budget else (low, middle)
    return low


@register("needle")
@dataclass(frozen=True)
class Needle(Problem):
    """A Gaussian well, from so far that its slope is next to nothing, though it always points the right way.

    f = 1 − e^(−r²/2), r = |x − m|: lengths are in units of the well's width.

    m is the only critical point, and descent gets there: the flow takes ½ [Ei(r₀²/2) − Ei(½)] ≈ e^(r₀²/2)/r₀²
    to r = 1, which is 220 from r₀ = 4, 11,782 from 5 and 1.9 million from 6. All curvatures are as
    small as the slope: e^(−r²/2), and e^(−r²/2) (1 − r²) towards m, so that Newton's step leads away from m.
    No gradient is too small for a method that normalizes it, whose time is r₀ over its step, until rounding ends
    it: beyond r = 14 in float32 and 38.6 in float64 it is exactly zero, and there is nothing to normalize.

    dim: x is (dim,).
    radius: r₀, where runs start.

    Deep Learning, section 8.2.3; needle in a haystack, in its differentiable form.
    """

    dim: int = 10
    radius: float = 5.0

    card = Card(
        dial="radius",
        scale="linear",
        ladder=(1.0, 5.0, 6.0),
        target=1e-4,
        budget=1000,
        reference=("adam", {"lr": 0.03}),
        control={"radius": 1.0},
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

    def __post_init__(self) -> None:
        require("needle", "dim", self.dim, low=1, whole=True)
        require("needle", "radius", self.radius, low=0, high=38, open_low=True)

    def instance(self, generator: torch.Generator) -> Tree:
        direction, minimizer = torch.randn(2, self.dim, generator=generator)
        start = minimizer + self.radius * direction / direction.norm()
        return {"start": start, "minimizer": minimizer}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """1 − e^u and not −expm1(u), of whose gradient, (expm1(u) + 1) ∂u, rounding leaves 0 from r = 8.6 on."""
        return 1 - (-0.5 * (x - data["minimizer"]).square().sum(-1)).exp()

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (x - data["minimizer"]).norm(dim=-1)

    def minimizers(self, data: Tree) -> torch.Tensor:
        return data["minimizer"][None]

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        return (CriticalPoint(data["minimizer"], 0.0, 0),)

    def signature(self, data: Tree) -> float:
        """r₀/|g| over 1/λ, λ the curvature at m: e^(r₀²/2)."""
        curvature = torch.linalg.eigvalsh(self.hessian(data["minimizer"], data))[-1]
        slope = self.value_and_gradient(data["start"], data)[1].norm()
        return (curvature * self.distance(data["start"], data) / slope).item()

    def portrait(self) -> Curves:
        radii = torch.linspace(1.5, 4.5, 7)
        steps = [self.time_of_descent(radius, lr=0.5) for radius in radii.tolist()]
        fixed = [self.time_of_fixed_steps(radius) for radius in radii.tolist()]
        smooth = torch.linspace(1.2, 6, 49)
        return Curves(
            caption="The steps to the well grow like e^(r₀²/2) for descent, and like r₀ for steps of a "
            "fixed length.",
            x_label="r₀",
            y_label="steps to r = 1",
            lines={
                "flow": (smooth, torch.tensor([2 * flow_time(r, 1.0) for r in smooth.tolist()])),
                "(r₀ − 1)/0.1": (smooth, (smooth - 1) / 0.1),
            },
            dots={
                "descent at rate ½": (radii, 2 * torch.tensor(steps)),
                "steps of 0.1": (radii, torch.tensor(fixed)),
            },
            y_scale="log",
        )

    def time_of_descent(self, radius: float, lr: float) -> float:
        """lr times the steps that gradient descent takes to r = 1, the last one in proportion."""
        data = replace(self, radius=radius).example()
        before = radius
        for step, x in enumerate(descent(self, data, data["start"], lr)):
            now = self.distance(x, data).item()
            if now <= 1:
                return lr * (step - (1 - now) / (before - now)) if step else 0.0
            before = now
        raise AssertionError("descent has no end")

    def time_of_fixed_steps(self, radius: float) -> float:
        """How many steps of length 0.1 along the gradient lead to r = 1."""
        data = replace(self, radius=radius).example()
        x, steps = data["start"], 0
        while self.distance(x, data) > 1 + 1e-9:
            gradient = self.value_and_gradient(x, data)[1]
            x, steps = x - 0.1 * gradient / gradient.norm(), steps + 1
        return float(steps)

    def vanishes(self, dtype: torch.dtype) -> float:
        """The distance from which on the gradient is exactly zero, to 0.01."""
        data = {"minimizer": torch.zeros(self.dim, dtype=dtype)}
        x = torch.linspace(0.01, 50, 5000, dtype=dtype)[:, None]
        x = x * torch.eye(self.dim, dtype=dtype)[0]
        gradient = self.value_and_gradient(x, data)[1]
        return x[gradient.any(-1), 0].max().item()

    @Claim(
        "From r₀ = 4 the flow takes so long to r = 1",
        stated=219.963,
        within=about(219.963, rel=2e-3),
        source="½ [Ei(8) − Ei(½)]",
    )
    def time_from_four(self) -> float:
        """Descent at lr = 0.1 is behind the flow by lr/2 times the log of how much faster it gets: by 0.3."""
        return self.time_of_descent(4.0, lr=0.1)

    @Claim(
        "From r₀ = 5 the flow takes so long to r = 1",
        stated=11782.33,
        within=about(11782.33, rel=2e-3),
        source="½ [Ei(12.5) − Ei(½)]; a well half as wide takes a quarter, 2945.6",
        slow=True,
    )
    def time_from_five(self) -> float:
        """By the flow's own clock, at lr = 1: behind by 6, see above."""
        return self.time_of_descent(5.0, lr=1.0)

    @Claim(
        "Steps of a fixed length take so many times longer from r₀ = 6 than from 3.5",
        stated=2.0,
        within=(2.0, 2.0),
        source="(6 − 1)/(3.5 − 1)",
    )
    def fixed_steps_from_six(self) -> float:
        return self.time_of_fixed_steps(6.0) / self.time_of_fixed_steps(3.5)

    @Claim(
        "The curvatures at the start are e^(−r²/2), and e^(−r²/2) (1 − r²) towards m, but for this share",
        stated=0.0,
        within=(0.0, 1e-9),
        source="the Hessian is e^(−r²/2) (I − (x − m)(x − m)ᵀ)",
    )
    def error_of_the_curvatures(self) -> float:
        data = self.example()
        curvatures = torch.linalg.eigvalsh(self.hessian(data["start"], data))
        predicted = torch.ones(self.dim)
        predicted[0] = 1 - self.radius**2
        return (curvatures * math.exp(self.radius**2 / 2) - predicted).abs().max().item()

    @Claim(
        "In float32 the gradient is exactly zero from here on",
        stated="13.2 to 14.4",
        within=(13.2, 14.5),
        source="e^(−r²/2) below the smallest normal number, 1.2e-38, or the smallest at all, 1.4e-45",
    )
    def vanishes_in_float32(self) -> float:
        """Which of the two depends on whether the machine keeps subnormal numbers; times r, a little later."""
        return self.vanishes(torch.float32)

    @Claim(
        "In float64 the gradient is exactly zero from here on",
        stated=38.6,
        within=(37.6, 38.7),
        source="e^(−r²/2) below 2.2e-308, or 4.9e-324",
    )
    def vanishes_in_float64(self) -> float:
        return self.vanishes(torch.float64)
