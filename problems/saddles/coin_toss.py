"""A critical point whose curvatures have tossed a coin for their signs, in a bowl."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import takewhile

import torch

from problems.claims import Claim, about
from problems.descent import descent
from problems.geometry import random_rotation
from problems.portrait import Plane
from problems.problem import Card, Tree
from problems.registry import register
from problems.saddles.newton_iteration import directions_down, end_of_newton
from problems.saddles.walled_form import WalledForm
from ravine import require

FLATTEST = 0.3  # the smallest curvature, in size; the largest but one is 1


@register("coin_toss")
@dataclass(frozen=True)
class CoinToss(WalledForm):
    """A critical point whose curvatures have tossed a coin for their signs, in a bowl.

    f(x) = ½ yᵀ H y + (q/4)|y|⁴, y = x − c, H = Q diag(±|λ_i|) Qᵀ with fair and independent signs.

    For c to be a minimum all coins must show heads: of critical points such as c one in 2^dim is a
    minimum, and the number of directions down is binomial. Newton's method ends at c, whatever c is;
    whoever descends leaves it. What holds descent up is the gap between the two most negative
    curvatures: to tell the valley of the second from that of the first takes it some 1/gap steps, as a
    power iteration does, and at the minimum the condition is (λ_max − λ₁)/gap. The critical points are
    known, see `critical_points`: a pair of them on the axis of each negative curvature, the lowest two
    of which are the minima.

    Sizes are uniform in [0.3, 1]; then the most negative curvature becomes −(1 + gap), the next −1. Where
    all coins show heads, in one of 2^dim instances, c is the minimum; where one shows tails there is
    no gap. The start is half as far from c as Newton's method may start to be sure to end there.

    dim: x is (dim,).
    gap: between the most negative curvature and the next, at least 3e-4: the bottom of the second valley
        is missing but 2 gap of the height, and has to stay above the target.
    up: the probability of heads, a positive curvature. 1 leaves a bowl.
    wall: q; it only sets the unit of length, √(1/q).

    Deep Learning, section 8.2.3; Dauphin et al. 2014, arXiv:1406.2572.
    """

    dim: int = 10
    gap: float = 0.003
    up: float = 0.5
    wall: float = 0.01

    card = Card(
        dial="gap",
        scale="log",
        ladder=(1.0, 0.1, 0.001),
        target=1e-4,
        budget=1000,
        reference=("saddle_free_newton", {"lr": 1.0, "damping": 1e-4}),
        control={"up": 1.0},
        signature="directions down where Newton's method ends",
        threshold=1.0,
        truth="Two minima, −(1 + gap)²/4q, on the axis of the most negative curvature; all other "
        "critical points are known, and saddles. Where no coin shows tails, in one of 2^dim "
        "instances, one minimum, 0, and no other critical point.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.3; Dauphin et al. 2014",
    )

    def __post_init__(self) -> None:
        require("coin_toss", "dim", self.dim, low=1, whole=True)
        require("coin_toss", "gap", self.gap, low=3e-4)
        require("coin_toss", "up", self.up, low=0, high=1)
        require("coin_toss", "wall", self.wall, low=0, open_low=True)

    def instance(self, generator: torch.Generator) -> Tree:
        heads = torch.rand(self.dim, generator=generator) < self.up
        sizes = FLATTEST + (1 - FLATTEST) * torch.rand(self.dim, generator=generator)
        basis = random_rotation(self.dim, generator)
        curvatures = torch.where(heads, sizes, -sizes).sort().values
        ends = torch.tensor([-1 - self.gap, -1.0])[: self.dim]
        curvatures[:2] = torch.where(curvatures[:2] < 0, ends, curvatures[:2])
        return self.start_near(curvatures, basis, generator)

    def signature(self, data: Tree) -> float:
        return float(directions_down(self, data, end_of_newton(self, data)))

    def portrait(self) -> Plane:
        data = self.example()
        length = math.sqrt((1 + self.gap) / self.wall)
        return Plane(
            caption="From beside the saddle Newton's method ends on it; the others leave, and find "
            "themselves in a round valley whose two deepest points, left and right, differ little "
            "from the rest.",
            window=((-1.5 * length, 1.5 * length), (-1.5 * length, 1.5 * length)),
            paths=(
                ("newton", {"lr": 1.0}),
                ("sgd", {"lr": 0.3}),
                ("saddle_free_newton", {"lr": 0.5, "damping": 0.01}),
            ),
            origin=data["center"],
            axes=data["basis"][:, :2].T,
            x_label="most negative curvature",
            y_label="next one",
        )

    @Claim(
        "share of Newton's runs that end in a minimum, in 3 dimensions",
        stated=1 / 8,
        within=about(1 / 8, abs=3 * math.sqrt(7 / 64 / 600)),  # three standard errors
        source="Goodfellow, Bengio & Courville 2016, section 8.2.3: heads n times in a row",
    )
    def newton_share(self) -> float:
        """Of 600 instances."""
        problem, data = self._many(3, 600)
        ends = end_of_newton(problem, data, steps=10)  # cubic convergence from ρ/2
        solved = problem.distance(ends, data) < 1e-6
        return solved.double().mean().item()

    @Claim(
        "variance of the number of directions down at the centre, over dim",
        stated=1 / 4,
        within=about(1 / 4, abs=3 * 0.25 * math.sqrt(2 / 600)),  # three standard errors
        source="Dauphin et al. 2014, section 2: binomial",
    )
    def variance_of_the_index(self) -> float:
        """Over 600 instances in 10 dimensions."""
        _, data = self._many(10, 600)
        return ((data["curvatures"] < 0).sum(-1).double().var() / 10).item()

    @Claim(
        "largest gradient at the stated critical points of λ = (−2, −1, −½, 0.3, 1, 2), q "
        "= 0.01, or error of their heights −100, −25 and −6.25",
        stated=0.0,
        within=(0.0, 1e-12),  # heights of 100, summed in float64
        source="H y = −q|y|² y: y is an eigenvector",
    )
    def error_of_the_critical_points(self) -> float:
        problem = replace(self, dim=6, wall=0.01)
        curvatures = torch.tensor([-2.0, -1.0, -0.5, 0.3, 1.0, 2.0])
        generator = torch.Generator().manual_seed(0)
        data = problem.start_near(curvatures, random_rotation(6, generator), generator)
        points = torch.stack([point.x for point in problem.critical_points(data)])
        values, gradients = problem.value_and_gradient(points, data)
        heights = torch.tensor([0.0, -100, -100, -25, -25, -6.25, -6.25])
        return max(gradients.norm(dim=-1).max().item(), (values - heights).abs().max().item())

    @Claim(
        "factor by which a tenth of the gap multiplies the steps that shrink the distance "
        "to the minimum by ten",
        stated=10.0,
        within=about(10.0, rel=0.05),  # the valley bends over the distances that are measured
        source="a power iteration: a step leaves 1 − lr·gap of the second mode",
    )
    def slowdown(self) -> float:
        """At gaps 0.006 and 0.06, descent at the rate 0.5 along the axis of the second mode."""
        steps = []
        for gap in (0.006, 0.06):
            problem = replace(self, gap=gap)
            data = problem.example()
            first, radius = problem.minimizers(data)[0], math.sqrt((1 + gap) / self.wall)
            path = descent(problem, data, first + 0.1 * radius * data["basis"][:, 1], 0.5)
            near = (problem.distance(x, data) < 0.01 * radius for x in path)
            steps.append(sum(1 for _ in takewhile(lambda there: not there, near)))
        return steps[0] / steps[1]

    def _many(self, dim: int, count: int) -> tuple[CoinToss, Tree]:
        """That many instances at once, each a run of its own, in this dimension."""
        problem = replace(self, dim=dim)
        generator = torch.Generator().manual_seed(0)
        drawn = [problem.instance(generator) for _ in range(count)]
        return problem, {name: torch.stack([data[name] for data in drawn]) for name in drawn[0]}
