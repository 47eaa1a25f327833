"""A bowl full of ripples, each of which may hold a minimum of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from problems.claims import Claim, about
from problems.local_minima.multimodal import Multimodal
from problems.problem import Card, CriticalPoint, Tree
from problems.registry import register
from ravine import require

CONVEX = 1 / (2 * math.pi**2)  # the amplitude up to which f is convex
FIRST = 4.493409457909064  # the smallest positive root of tan u = u
SINGLE = CONVEX * math.sqrt(1 + FIRST**2)  # the amplitude up to which no trap exists


@register("rastrigin")
@dataclass(frozen=True)
class Rastrigin(Multimodal):
    """A bowl full of ripples, from none that matters to a lattice of traps.

    f = Σ φ(zᵢ), φ(z) = z² + A (1 − cos 2πz), z = Qᵀ (x − m).

    φ' = 0 where z = −πA sin 2πz. Up to A = 1/2π² = 0.0507 f is convex, and up to A = 0.2332 it has no
    critical point but the minimum. Above, traps appear in pairs at ±z: the k-th one where 2π²A passes
    √(1 + u²), u being the k-th of the positive roots of tan u = u with sin u < 0: 4.49, 10.9, 17.2, …. With K
    pairs on each axis f has (1 + 4K)^dim critical points, of which (1 + 2K)^dim are minima: 3^5 for
    A = 0.3, and for A = 10 63^5, 11^5 of them in the box [−5.12, 5.12]^5 where runs start. The
    ripples are all alike and the bowl is what counts: steps that are long enough, or heavy enough, pass over
    shallow traps; nothing passes over those of A = 10.

    dim: x is (dim,).
    amplitude: A; the classical value is 10.

    Rastrigin 1974; Mühlenbein, Schomisch & Born 1991 (Parallel Computing 17); Deep Learning,
    section 8.2.2.
    """

    dim: int = 5
    amplitude: float = 0.3

    box = (-5.12, 5.12)
    card = Card(
        dial="amplitude",
        scale="log",
        ladder=(0.05, 0.3, 10.0),
        quick={},
        target=1e-4,
        budget=1000,
        reference=("momentum", {"lr": 0.05, "momentum": 0.9}),
        control={"amplitude": 0.05},
        removes={"local_minimum": {"amplitude": 0.05}},
        signature="minima among the starts on a line through m along the axis of z₁",
        threshold=2.0,
        truth="The minimum is 0, at m. Up to A = 0.2332 there is no other critical point; beyond there are "
        "(1 + 4K)^dim, of which (1 + 2K)^dim are minima: K = 1 at A = 0.3, 31 at A = 10.",
        source="Rastrigin 1974; Goodfellow, Bengio & Courville 2016, section 8.2.2",
        exceptions={
            "reference": "of 63^5 minima at A = 10 one is global, and no local method finds it"
        },
    )

    def __post_init__(self) -> None:
        require("rastrigin", "dim", self.dim, low=1, whole=True)
        require("rastrigin", "amplitude", self.amplitude, low=0)

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

    def traps(self) -> list[tuple[float, float]]:
        """The walls (maxima) and traps (minima) of φ at z > 0, in pairs, from the innermost.

        The k-th pair lies between k − ½ and k, on the two sides of the z where z + πA sin 2πz is least.
        """

        def slope(z: float) -> float:
            return z + math.pi * self.amplitude * math.sin(2 * math.pi * z)

        found: list[tuple[float, float]] = []
        while self.amplitude > CONVEX:
            k = len(found) + 1
            lowest = k - math.acos(-CONVEX / self.amplitude) / (2 * math.pi)
            if slope(lowest) >= 0:
                break
            wall, trap = (_root(slope, outside, lowest) for outside in (k - 0.5, float(k)))
            found.append((wall, trap))
        return found

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """The minimum, and where there are traps the first one and the first wall on an axis, and the
        corners between the walls, where all directions go down."""

        def point(z: float, times: int, index: int) -> CriticalPoint:
            coordinates = z * (torch.arange(self.dim) < times).to(torch.get_default_dtype())
            height = z**2 + self.amplitude * (1 - math.cos(2 * math.pi * z))
            return CriticalPoint(self.place(coordinates, data), times * height, index)

        points = [point(0.0, self.dim, 0)]
        for wall, trap in self.traps()[:1]:
            points += [point(trap, 1, 0), point(wall, 1, 1), point(wall, self.dim, self.dim)]
        return tuple(points)

    @Claim(
        "The loss stops being convex at this amplitude",
        stated=CONVEX,
        within=about(CONVEX, rel=1e-3),
        source="φ'' = 2 + 4π²A cos 2πz",
    )
    def convex_up_to(self) -> float:
        low, high = 0.01, 1.0
        data = self.example()
        x = self.place(torch.linspace(0, 1, 2001)[:, None] * torch.eye(self.dim)[0], data)
        for _ in range(20):
            middle = (low + high) / 2
            curvatures = torch.linalg.eigvalsh(self.at_dial(middle).hessian(x, data))
            low, high = (low, middle) if (curvatures < 0).any() else (middle, high)
        return low

    @Claim(
        "The first traps appear at this amplitude",
        stated=SINGLE,
        within=about(SINGLE, rel=1e-4),
        source="2π²A = √(1 + u²), tan u = u",
    )
    def first_traps(self) -> float:
        """A double root of z + πA sin 2πz: u = 2πz has tan u = u, and 2π²A = −u/sin u = √(1 + u²).

        The grid, 1e-4 wide, sees a trap a little late: by less than 1e-6.
        """
        return self.first_trap(torch.linspace(0, 5, 50001)[1:, None] * torch.eye(self.dim)[0])

    @Claim(
        "Gradient descent in small steps breaks at that amplitude",
        stated=SINGLE,
        within=about(SINGLE, rel=0.05),
        source="a critical point is all it takes to stop a flow",
    )
    def descent_breaks(self) -> float:
        """The amplitude at which half of the starts are solved, to 0.004. Just below the threshold
        runs pass the place of the coming traps slowly: 5 %."""
        low, high = 0.2, 0.26
        for _ in range(3):
            middle = (low + high) / 2
            solved = self.at_dial(middle).share_solved(count=30, lr=0.05, steps=300) > 0.5
            low, high = (middle, high) if solved else (low, middle)
        return (low + high) / 2

    @Claim(
        "At the classical amplitude a line along a ripple's axis has so many minima",
        stated=63,
        within=(63, 63),
        source="the traps' condition at A = 10: 2π²A = 197.4, K = 31",
    )
    def minima_on_a_line(self) -> float:
        """Signs of the slope, on a grid of the length on which |z| ≤ πA."""
        z = torch.linspace(-10 * math.pi, 10 * math.pi, 200001)
        z = z[:, None] * torch.eye(self.dim)[0]
        lower = replace(self, amplitude=10.0).landscape(z).diff() < 0
        return (lower[:-1] & ~lower[1:]).sum().item()

    @Claim(
        "At the classical amplitude there are so many of them inside the box",
        stated=11,
        within=(11, 11),
        source="the traps' condition; Mühlenbein, Schomisch & Born 1991",
    )
    def minima_in_the_box(self) -> float:
        classical = replace(self, amplitude=10.0)
        return classical.signature(classical.example())

    @Claim(
        "Largest error of the first three, at 0.994959, 1.989912 and 2.984856, heights "
        "0.994959, 3.979831 and 8.954601",
        stated=0.0,
        within=(0.0, 1e-6),
        source="Newton's method on φ', six digits",
    )
    def error_of_the_first_three(self) -> float:
        """The largest of the six differences; Newton's method from the whole numbers."""
        problem, data = replace(self, amplitude=10.0, dim=1), replace(self, dim=1).example()
        x = problem.place(torch.tensor([[1.0], [2.0], [3.0]]), data)
        for _ in range(10):
            gradient = problem.value_and_gradient(x, data)[1]
            x = x - gradient / problem.hessian(x, data)[..., 0]
        where, height = problem.coordinates(x, data)[:, 0], problem.loss(x, data)
        stated = torch.tensor([[0.994959, 1.989912, 2.984856], [0.994959, 3.979831, 8.954601]])
        return (torch.stack([where.abs(), height]) - stated).abs().max().item()


def _root(function, outside: float, inside: float) -> float:
    """Where a function that is positive outside and negative inside is zero: bisection."""
    for _ in range(100):
        middle = (outside + inside) / 2
        outside, inside = (middle, inside) if function(middle) > 0 else (outside, middle)
    return (outside + inside) / 2
