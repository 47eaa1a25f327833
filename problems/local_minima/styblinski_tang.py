"""Two minima along every axis, one a little deeper: a landscape whose critical points can all be counted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.local_minima.multimodal import Multimodal
from problems.problem import Card, CriticalPoint, SampleSizes, Tree, dial
from problems.registry import register
from ravine import bounded


@register("styblinski_tang")
@dataclass(frozen=True)
class StyblinskiTang(Multimodal):
    """Two minima along each of n axes, one a little deeper: of 3^n critical points one is the best.

    f = Σ ½ (zᵢ⁴ − 16 zᵢ² + t zᵢ), z = o + Qᵀ (x − m), t the tilt.

    Each coordinate of a critical point is one of three roots of 2z³ − 16z + t/2: −2.9035, a maximum at 0.1567,
    and 2.7468. So C(n, k) 2^(n−k) critical points have index k, and a share (2/3)^n of them are minima. One of
    the 2^n minima is global. Basins are boxes with walls at the maxima, and small steps do not leave them: of
    uniform starts in [−5, 5]^n a share of 0.51567^n finds the global minimum, whatever the local method.
    Long steps may end in another basin, by chance.

    dim: n.
    tilt: t; the classical value is 5. Above 34.84 the higher one of the minima is gone.

    Styblinski & Tang 1990 (Neural Networks 3); Deep Learning, sections 8.2.2 and 8.2.3.
    """

    dim: int = dial(3, low=1)
    tilt: float = bounded(5.0, above=0)

    box = (-5.0, 5.0)
    card = Card(
        scale="log",
        ladder=(1, 3, 10),
        target=1e-4,
        budget=1000,
        reference=("momentum", {"lr": 0.01, "momentum": 0.5}),
        control={"tilt": 40.0},
        removes={"local_minimum": {"tilt": 40.0}},
        signature="minima among the starts on a line through m along the axis of z₁",
        threshold=2.0,
        truth="The minimum is −39.166166 n, where all zᵢ = −2.903534. Of 3^n critical points C(n, k) 2^(n−k) "
        "have index k. From uniform starts small steps find the minimum with probability 0.51567^n.",
        source="Styblinski & Tang 1990; Goodfellow, Bengio & Courville 2016, section 8.2.3",
        exceptions={
            "reference": "of the starts a share 0.51567^n lies in the basin of the minimum",
            "ranked": "local methods end in the basin where they start, or in another by chance",
        },
        cell=SampleSizes(trials=9, seeds=50),
    )

    def turning_points(self) -> tuple[float, ...]:
        """Return the real roots of z³ − 8z + t/4, ascending: minimum, maximum, minimum, or a minimum alone."""
        cosine, size = 3 * self.tilt / 64 * math.sqrt(3 / 8), 2 * math.sqrt(8 / 3)
        if cosine > 1:
            return (-size * math.cosh(math.acosh(cosine) / 3),)
        angle = math.acos(-cosine) / 3
        return tuple(sorted(size * math.cos(angle - 2 * math.pi * k / 3) for k in range(3)))

    def height(self, z: float) -> float:
        """Return ½ (z⁴ − 16 z² + t z) at a turning point, where z³ = 8z − t/4."""
        return -4 * z**2 + 3 / 8 * self.tilt * z

    @property
    def optimum(self) -> float:
        return self.turning_points()[0]

    def landscape(self, z: torch.Tensor) -> torch.Tensor:
        square = z.square()
        return 0.5 * (square * (square - 16) + self.tilt * z).sum(-1)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.tensor(self.dim * self.height(self.optimum), dtype=torch.float64)

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return for each index k one with k coordinates at the maximum and the others at the best, and the
        worst minimum."""
        if len(self.turning_points()) == 1:
            return (CriticalPoint(data["minimizer"], float(self.floor(data)), 0),)
        best, wall, other = self.turning_points()
        kinds = [(*[wall] * k, *[best] * (self.dim - k)) for k in range(self.dim + 1)]
        start = data["start"]
        return tuple(
            CriticalPoint(
                self.place(start.new_tensor(z), data), sum(map(self.height, z)), z.count(wall)
            )
            for z in [*kinds, (other,) * self.dim]
        )

    def predicted_share(self) -> float:
        """Return the share of the box on the best minimum's side of all walls."""
        low, high = self.box
        _, wall, *_ = *self.turning_points(), high
        return ((wall - low) / (high - low)) ** self.dim
