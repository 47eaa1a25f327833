"""A valley that winds: the minimum is near, and the way there is long."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from problems.one_minimum import OneMinimum
from problems.problem import Card, CriticalPoint, Tree, dial
from problems.registry import register
from ravine import bounded

SLOPE = 0.01  # of the valley's floor, along it


def breaking_point_of_descent(problem: Any, budget: float) -> float:
    """Return the length that gradient descent covers at the rate 2, the largest that walls of curvature 1 allow."""
    return 2 * SLOPE * budget


@register("meander")
@dataclass(frozen=True)
class Meander(OneMinimum):
    """A valley of constant slope wound into a spiral: as steep as ever, and a long way round.

    f(x) = s (√(1 + r² + τ²r⁴/4) − 1) + ½ u²/(1 + τ²r²), s = 0.01, r = |x − m|,
    u the second coordinate of x − m turned back by the angle τ√(1 + r²) + constant.

    Each circle around m is turned by an angle that grows with its radius, so that the straight valley
    u = 0 becomes a spiral of two arms. Away from m the valley's floor falls by s for each unit of its
    length, and its walls have curvature 1: a long valley is not steeper, flatter or worse conditioned
    than a short one. But downhill is along the floor, and the runtime is the length of the trajectory. For
    descent it is about the length over twice the slope, as the walls allow no rate much above 2: a long path
    and walls much steeper than the floor break it together, and either alone does not.
    The straight way to m, across the walls, is √(length/2) times shorter. m is the only critical point.

    length: of the floor, from the start to m. Up to 500 the walls hold: their pull inwards, at most ½,
        is more than that of the bowl, s r.
    twist: τ; the arms are π/τ apart. 0 is the straight valley of the same length and slope.

    Deep Learning, section 8.2.7: much of the runtime of training is due to the length of the
    trajectory needed to arrive at the solution.
    """

    length: float = dial(30.0, above=0, high=500)
    twist: float = bounded(1.0, low=0, high=1)

    card = Card(
        scale="log",
        ladder=(1.0, 30.0, 100.0),
        target=0.01,
        budget=1000,
        reference=("momentum", {"lr": 0.5, "momentum": 0.95}),
        control={"twist": 0.0},
        removes={"long_path": {"length": 1.0}},
        breaks=("sgd", "long_path"),
        also="ill_conditioning",
        signature="length of the valley over the distance of its ends",
        threshold=2.0,
        truth="One critical point, the minimum 0 at m, whose curvatures are s and 1 + s. Gradient "
        "descent takes length/(lr s) steps, straight valley or not.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.7",
        theory={"sgd": breaking_point_of_descent},
    )

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer = torch.randn(2, generator=generator)
        phase = 2 * math.pi * torch.rand((), generator=generator)
        radius = torch.tensor(self.radius())
        return {
            "start": minimizer + self.on_floor(radius, phase),
            "minimizer": minimizer,
            "phase": phase,
        }

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        y = x - data["minimizer"]
        square = y.square().sum(-1)
        angle = self._angle(square, data["phase"])
        across = y[..., 1] * angle.cos() - y[..., 0] * angle.sin()
        return SLOPE * (self._stretched(square) - 1) + 0.5 * across.square() * self._width(square)

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        y = x - data["minimizer"]
        square = y.square().sum(-1)
        angle = self._angle(square, data["phase"])
        cosine, sine = angle.cos(), angle.sin()
        along = y[..., 0] * cosine + y[..., 1] * sine
        across = y[..., 1] * cosine - y[..., 0] * sine
        height, width = self._stretched(square), self._width(square)
        tilted = across * width
        value = SLOPE * (height - 1) + 0.5 * across * tilted
        # Of f as a function of |y|², of the angle, and of y at a fixed angle.
        turn = self.twist / (1 + square).sqrt()
        outward = SLOPE * (1 + self.twist**2 * square / 2) / height
        outward = outward - tilted * along * turn - (self.twist * tilted).square()
        sideways = torch.stack([-sine, cosine], -1)
        return value, outward.unsqueeze(-1) * y + tilted.unsqueeze(-1) * sideways

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        return (CriticalPoint(data["minimizer"], 0.0, index=0),)

    def signature(self, data: Tree) -> float:
        return self.length / self.distance(data["start"], data).item()

    def length_to(self, radius: float) -> float:
        """Return the length of the floor from m to this radius: ∫ √(1 + τ²r⁴/(1 + r²)) dr, by Simpson's rule."""
        r = torch.linspace(0, radius, 2001, dtype=torch.float64)
        pace = (1 + self.twist**2 * r**4 / (1 + r**2)).sqrt()
        thirds = pace[0] + 4 * pace[1::2].sum() + 2 * pace[2:-1:2].sum() + pace[-1]
        return (thirds * radius / 6000).item()

    def radius(self) -> float:
        """Return the radius at which the floor is `length` long, by Newton's method from outside."""
        radius = self.length
        for _ in range(20):
            pace = math.sqrt(1 + self.twist**2 * radius**4 / (1 + radius**2))
            radius -= (self.length_to(radius) - self.length) / pace
        return radius

    def on_floor(self, radius: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
        """Return the floor's points, less m, at these radii: (*radii, 2)."""
        angle = self._angle(radius.square(), phase)
        return radius.unsqueeze(-1) * torch.stack([angle.cos(), angle.sin()], -1)

    def _angle(self, square: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
        return self.twist * (1 + square).sqrt() + phase

    def _stretched(self, square: torch.Tensor) -> torch.Tensor:
        """Return √(1 + r² + τ²r⁴/4), which far out grows as fast as the length."""
        return (1 + square + (self.twist * square).square() / 4).sqrt()

    def _width(self, square: torch.Tensor) -> torch.Tensor:
        """Return 1/(1 + τ²r²), which makes up for the steepness that the twist adds."""
        return 1 / (1 + self.twist**2 * square)
