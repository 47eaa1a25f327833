"""Two minima along every axis, one a little deeper: a landscape whose critical points can all be counted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product

import torch

from problems.claims import Claim, about
from problems.local_minima.multimodal import Multimodal
from problems.portrait import Curves
from problems.problem import Card, Cell, CriticalPoint, Tree
from problems.registry import register
from ravine import require


@register("styblinski_tang")
@dataclass(frozen=True)
class StyblinskiTang(Multimodal):
    """Two minima along each of n axes, one a little deeper: of 3^n critical points one is the best.

    f = Σ ½ (zᵢ⁴ − 16 zᵢ² + t zᵢ), z = o + Qᵀ (x − m), t the tilt.

    Each coordinate of a critical point is one of three roots of 2z³ − 16z + t/2: −2.9035, a maximum at 0.1567,
    and 2.7468. So C(n, k) 2^(n−k) critical points have index k, and (2/3)^n of them are minima: for
    each direction a coin with three sides is thrown. One of the 2^n minima is global. Basins are boxes
    with walls at the maxima, and small steps do not leave them: of uniform starts in [−5, 5]^n a
    share of 0.51567^n finds the global minimum, whatever the local method. Methods whose steps are
    long may end in another basin, and in none of them for a reason.

    dim: n.
    tilt: t; the classical value is 5. Above 34.84 the higher one of the minima is gone.

    Styblinski & Tang 1990 (Neural Networks 3); Deep Learning, sections 8.2.2 and 8.2.3.
    """

    dim: int = 3
    tilt: float = 5.0

    box = (-5.0, 5.0)
    card = Card(
        dial="dim",
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
        cell=Cell(trials=9, seeds=50),
    )

    def __post_init__(self) -> None:
        require("styblinski_tang", "dim", self.dim, low=1, whole=True)
        require("styblinski_tang", "tilt", self.tilt, low=0, open_low=True)

    def turning_points(self) -> tuple[float, ...]:
        """The real roots of z³ − 8z + t/4, ascending: minimum, maximum, minimum, or a minimum alone."""
        cosine, size = 3 * self.tilt / 64 * math.sqrt(3 / 8), 2 * math.sqrt(8 / 3)
        if cosine > 1:
            return (-size * math.cosh(math.acosh(cosine) / 3),)
        angle = math.acos(-cosine) / 3
        return tuple(sorted(size * math.cos(angle - 2 * math.pi * k / 3) for k in range(3)))

    def height(self, z: float) -> float:
        """½ (z⁴ − 16 z² + t z) at a turning point, where z³ = 8z − t/4."""
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
        """For each index k one where k coordinates are at the maximum and the others at the best, and
        the worst of the minima: all others are these with coordinates exchanged or mixed."""
        if len(self.turning_points()) == 1:
            return (CriticalPoint(data["minimizer"], float(self.floor(data)), 0),)
        best, wall, other = self.turning_points()
        kinds = [(*[wall] * k, *[best] * (self.dim - k)) for k in range(self.dim + 1)]
        return tuple(
            CriticalPoint(
                self.place(torch.tensor(z), data), sum(map(self.height, z)), z.count(wall)
            )
            for z in [*kinds, (other,) * self.dim]
        )

    def predicted_share(self) -> float:
        """The share of the box on the best minimum's side of all walls."""
        low, high = self.box
        _, wall, *_ = *self.turning_points(), high
        return ((wall - low) / (high - low)) ** self.dim

    def portrait(self) -> Curves:
        dims = (1, 2, 3, 4, 5, 6)
        shares = [
            replace(self, dim=dim).share_solved(count=2000, lr=0.007, steps=100) for dim in dims
        ]
        predicted = [replace(self, dim=dim).predicted_share() for dim in dims]
        return Curves(
            caption="The share of random starts from which descent finds the best of 2^n minima is that of "
            "its basin, and halves with every dimension.",
            x_label="n",
            y_label="share of starts",
            lines={"volume of the basin": (torch.tensor(dims), torch.tensor(predicted))},
            dots={"gradient descent": (torch.tensor(dims), torch.tensor(shares))},
            y_scale="log",
        )

    @Claim(
        "In one dimension the minimum, the maximum and the other minimum are −39.166166, 0.195612 and "
        "−25.029447, but for so much",
        stated=0.0,
        within=(0.0, 1e-6),
        source="Newton's method, six digits",
    )
    def error_of_the_heights(self) -> float:
        """The largest of three differences."""
        found = self._stationary(replace(self, dim=1))
        return (found - torch.tensor([-39.166166, -25.029447, 0.195612])).abs().max().item()

    @Claim(
        "So many critical points exist in three dimensions",
        stated=27,
        within=(27, 27),
        source="3^n",
    )
    def critical_in_three_dimensions(self) -> float:
        """Newton's method from a grid; it finds no more and no less."""
        return len(self._found(replace(self, dim=3)))

    @Claim(
        "So many of those have index 1",
        stated=12,
        within=(12, 12),
        source="C(3, 1) 2²",
    )
    def of_index_one(self) -> float:
        problem = replace(self, dim=3)
        curvatures = torch.linalg.eigvalsh(problem.hessian(self._found(problem), problem.example()))
        return ((curvatures < 0).sum(-1) == 1).sum().item()

    @Claim(
        "Of the critical points this share are minima, in three dimensions",
        stated=8 / 27,
        within=about(8 / 27, abs=1e-12),
        source="(2/3)^n",
    )
    def share_of_minima(self) -> float:
        problem = replace(self, dim=3)
        curvatures = torch.linalg.eigvalsh(problem.hessian(self._found(problem), problem.example()))
        return (curvatures > 0).all(-1).double().mean().item()

    @Claim(
        "From uniform starts gradient descent finds the minimum this often, in three dimensions",
        stated=0.13713,
        within=about(0.13713, abs=0.0163),
        source="((5 + 0.156731)/10)³, the basin's share of the box; three standard errors of 4000 starts",
    )
    def share_of_descent(self) -> float:
        """A step of 0.007 < 1/134, one over the largest curvature in the box, keeps each start's order."""
        return replace(self, dim=3).share_solved(count=4000, lr=0.007, steps=100)

    def _found(self, problem: StyblinskiTang) -> torch.Tensor:
        """All critical points that Newton's method finds from a grid, each once: (found, dim)."""
        data = problem.example()
        grid = torch.tensor(list(product((-4.0, -2.5, 0.0, 0.3, 2.5, 4.0), repeat=problem.dim)))
        x = problem.place(grid, data)
        for _ in range(20):
            gradient = problem.value_and_gradient(x, data)[1]
            x = x - torch.linalg.solve(problem.hessian(x, data), gradient)
        z = problem.coordinates(x, data)
        return problem.place((z * 1e6).round().unique(dim=0) / 1e6, data)

    def _stationary(self, problem: StyblinskiTang) -> torch.Tensor:
        """The loss at these, ascending."""
        return problem.loss(self._found(problem), problem.example()).sort().values
