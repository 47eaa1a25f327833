"""A bowl full of ripples, each of which may hold a minimum of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.local_minima.multimodal import Multimodal
from problems.problem import Card, CriticalPoint, Tree, dial
from problems.registry import register
from ravine import bounded

CONVEX = 1 / (2 * math.pi**2)  # the amplitude up to which f is convex


@register("rastrigin")
@dataclass(frozen=True)
class Rastrigin(Multimodal):
    """A bowl full of ripples, from none that matters to a lattice of traps.

    f = Σ φ(zᵢ), φ(z) = z² + A (1 − cos 2πz), z = Qᵀ (x − m).

    Up to A = 1/2π² = 0.0507 f is convex, and up to A = 0.2332 it has no critical point but the minimum. Above,
    traps appear in pairs at ±z. With K pairs on each axis f has (1 + 4K)^dim critical points, of which
    (1 + 2K)^dim are minima: 3^5 for A = 0.3, and for A = 10 63^5, 11^5 of them in the box [−5.12, 5.12]^5 where
    runs start. Long or heavy steps pass over shallow traps; nothing passes over those of A = 10.

    dim: x is (dim,).
    amplitude: A; the classical value is 10.

    Rastrigin 1974; Mühlenbein, Schomisch & Born 1991 (Parallel Computing 17); Deep Learning,
    section 8.2.2.
    """

    dim: int = bounded(5, low=1)
    amplitude: float = dial(0.3, low=0)

    box = (-5.12, 5.12)
    card = Card(
        scale="log",
        ladder=(0.05, 0.2, 0.5),
        quick={},
        target=1e-4,
        budget=1000,
        reference=("momentum", {"lr": 0.05, "momentum": 0.9}),
        control={"amplitude": 0.05},
        removes={"local_minimum": {"amplitude": 0.05}},
        breaks=("sgd", "local_minimum"),
        signature="minima among the starts on a line through m along the axis of z₁",
        threshold=2.0,
        truth="The minimum is 0, at m. Up to A = 0.2332 there is no other critical point; beyond there are "
        "(1 + 4K)^dim, of which (1 + 2K)^dim are minima: K = 1 at A = 0.3, 31 at A = 10.",
        source="Rastrigin 1974; Goodfellow, Bengio & Courville 2016, section 8.2.2",
        exceptions={
            "reference": "of 3^5 minima at A = 0.5 one is global, and most runs end in another"
        },
    )

    def landscape(self, z: torch.Tensor) -> torch.Tensor:
        return (z.square() + self.amplitude * (1 - (2 * math.pi * z).cos())).sum(-1)

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        """The gradient is Q (2 z + 2πA sin 2πz)."""
        z = self.coordinates(x, data)
        slope = 2 * z + 2 * math.pi * self.amplitude * (2 * math.pi * z).sin()
        return self.landscape(z), torch.einsum("...j,...ij->...i", slope, data["basis"])

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Q diag(2 + 4π²A cos 2πz) Qᵀ."""
        z = self.coordinates(x, data)
        curvature = 2 + 4 * math.pi**2 * self.amplitude * (2 * math.pi * z).cos()
        return torch.einsum("...ij,...j,...kj->...ik", data["basis"], curvature, data["basis"])

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return the minimum, and if there are traps the first trap and the first wall on an axis, and a
        corner between the walls, from which all directions go down."""

        rank = torch.arange(self.dim, device=data["start"].device)

        def point(z: float, times: int, index: int) -> CriticalPoint:
            coordinates = torch.where(rank < times, z, torch.zeros_like(data["start"]))
            height = z**2 + self.amplitude * (1 - math.cos(2 * math.pi * z))
            return CriticalPoint(self.place(coordinates, data), times * height, index)

        points = [point(0.0, self.dim, 0)]
        if self.amplitude > CONVEX and (found := self._first_trap()):
            wall, trap = found
            points += [point(trap, 1, 0), point(wall, 1, 1), point(wall, self.dim, self.dim)]
        return tuple(points)

    def _first_trap(self) -> tuple[float, float] | None:
        """Return the first wall (maximum) and trap (minimum) of φ at z > 0, if there are any.

        They lie between ½ and 1, on the two sides of the z where z + πA sin 2πz, half of φ', is least.
        """

        def slope(z: float) -> float:
            return z + math.pi * self.amplitude * math.sin(2 * math.pi * z)

        def root(outside: float, inside: float) -> float:
            for _ in range(100):
                middle = (outside + inside) / 2
                outside, inside = (middle, inside) if slope(middle) > 0 else (outside, middle)
            return (outside + inside) / 2

        lowest = 1 - math.acos(-CONVEX / self.amplitude) / (2 * math.pi)
        return (root(0.5, lowest), root(1.0, lowest)) if slope(lowest) < 0 else None
