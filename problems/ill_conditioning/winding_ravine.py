"""A ravine that winds like a sine, so that no straight step goes far."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.one_minimum import OneMinimum
from problems.problem import Card, CriticalPoint, Tree, dial
from problems.registry import register
from ravine import bounded


@register("winding_ravine")
@dataclass(frozen=True)
class WindingRavine(OneMinimum):
    """A ravine whose floor is a sine: a quadratic bowl, sheared.

    f(x, y) = (c/2) u² + (b/2) (v − s sin(w u))², (u, v) = (x, y) − m; b is `across`, c is `along`.

    The condition at the minimum is b (1 + s²w²)²/c rather than b/c. The way down the floor is longer,
    its slope is less, and the largest stable rate is (1 + s²w²) times smaller: gradient flow takes
    1 + s²w²/2 times as long as down the straight floor, and descent (1 + s²w²) times that many steps.
    In the coordinates (u, v − s sin(w u)) it is a bowl, so there is one critical point. From the floor
    two of Newton's steps end there; but from c/(b s w²) up the wall the Hessian is indefinite, and
    Newton's method is thrown about.

    At shear 1.5 the longer path alone would not break descent, and the steeper walls alone would not:
    it takes both. `shear=0` removes both.

    shear: s w, the steepest slope of the floor. 0 is a straight ravine.
    swing: s.
    across: b.
    along: c.

    Deep Learning, sections 8.2.1 and 8.2.7: long arcs.
    """

    shear: float = dial(3.0, low=0)
    swing: float = bounded(1.0, above=0)
    across: float = bounded(1.0, above=0)
    along: float = bounded(0.01, above=0)

    card = Card(
        scale="linear",
        ladder=(0.0, 3.0, 8.0),
        target=1e-4,
        budget=1000,
        reference=("saddle_free_newton", {"lr": 1.0, "damping": 3e-4}),
        control={"shear": 0.0},
        removes={"winding_path": {"shear": 0.0}},
        breaks=("sgd", "winding_path"),
        signature="time of gradient flow down the floor, from the start's end of it to a tenth of "
        "that, over the time down a straight one",
        threshold=2.0,
        truth="One critical point, the minimum 0 at m. There the Hessian is "
        "[[c + b s²w², −b s w], [−b s w, b]], whose determinant is b c.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.1",
        exceptions={"random_search": "its 3000 trials are simply enough in two dimensions"},
    )

    def floor_line(self, u: torch.Tensor) -> torch.Tensor:
        """Return the floor's v at each u: s sin(w u)."""
        return self.swing * (self.shear / self.swing * u).sin()

    def instance(self, generator: torch.Generator) -> Tree:
        """Draw a start 5 to 10 swings out, on either side, up a wall that holds about as much as the floor."""
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

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        return (CriticalPoint(data["minimizer"], 0.0, index=0),)

    def signature(self, data: Tree) -> float:
        """Sum the time over pieces of the floor: their length over the slope of f along them, ds²/(−g·ds)."""
        u = (data["start"] - data["minimizer"])[0] * torch.logspace(0, -1, 4001)
        piece = torch.stack([u, self.floor_line(u)], -1)
        middle = (u[1:] + u[:-1]) / 2
        points = data["minimizer"] + torch.stack([middle, self.floor_line(middle)], -1)
        pull = -(self.value_and_gradient(points, data)[1] * piece.diff(dim=0)).sum(-1)
        time = (piece.diff(dim=0).square().sum(-1) / pull).sum()
        return (time * self.along / math.log(10)).item()
