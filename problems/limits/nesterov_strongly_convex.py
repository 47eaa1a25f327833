"""The strongly convex quadratic on which heavy ball is the fastest of all first-order methods."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, repeat
from typing import Any

import torch

from problems.claims import Claim, about
from problems.descent import descent
from problems.limits.chain import Chain
from problems.portrait import Curves
from problems.problem import Card, Tree
from problems.registry import register
from ravine import require

SOURCE = "Nesterov 2004, theorem 2.1.13"
BEST, FAST, HEAVY = METHODS = ("conjugate gradients", "Nesterov's method", "heavy ball")


def breaking_point_of_descent(problem: Any, budget: float) -> float:
    """The condition, to 2 %, from which gradient descent leaves more than the target at any rate."""
    low, high = math.log(1.1), math.log(1e8)
    while high - low > 0.02:
        middle = (low + high) / 2
        left = replace(problem, condition=math.exp(middle)).gap_left_by_descent(int(budget))
        low, high = (low, middle) if left > problem.card.target else (middle, high)
    return math.exp(high)


def _ratio(method: str, steps: int, stated: float, tolerance: float) -> Claim:
    """The claim about a method's squared distance after so many steps, in units of Nesterov's bound."""

    def measure(problem: Any) -> float:
        return replace(problem, dim=400, condition=100.0).ratio_to_bound(method, steps)

    return Claim(
        f"squared distance that {method} leaves after {steps} steps at Q = 100, over the bound",
        stated=stated,
        within=about(stated, rel=tolerance),
        source=SOURCE,
    )(measure)


@register("nesterov_strongly_convex")
@dataclass(frozen=True)
class NesterovStronglyConvex(Chain):
    """A chain with springs: the bound on all first-order methods, which heavy ball attains exactly.

    f(x) = ½ zᵀ(w A + I/Q) z − w z₁, z = x − x₀, w = (Q − 1)/(4Q), A tridiagonal (−1, 2, −1) but
    for its last entry, (√Q + 3)/(√Q + 1).

    The curvatures lie between 1/Q and 1, and the last entry makes the solution that of an endless
    chain, zᵢ = qⁱ with q = (√Q − 1)/(√Q + 1). After t gradients only t coordinates can have moved,
    so that for any sum of them

        |x_t − x*|² ≥ Σ q^2i over i > t, which is q^2t |x₀ − x*|² where n is large.

    Heavy ball at Polyak's constants 4/(1 + √(1/Q))² and q² has moved just those, each to its very
    place: equality. Nesterov's method at its constants comes nearer like (1 − 1/√Q)^t instead of q^t. On
    losses that are no quadratics heavy ball may not even converge.

    `bound_ratio` is the squared distance at the end over the least one after so many steps; who took
    none has none.

    dim: more than the budget has steps.
    condition: Q. Within 100 steps no first-order method reaches the target from 4000 on.
    rotated: False leaves the chain along the axes, where it is famous; True hides it.

    Nesterov 2004, "Introductory lectures on convex optimization", section 2.1.4; Polyak 1964; Deep
    Learning, section 8.2.8.
    """

    dim: int = 200
    condition: float = 300.0
    rotated: bool = False

    card = Card(
        dial="condition",
        scale="log",
        ladder=(10.0, 300.0, 1e4),
        quick={},
        target=1e-4,
        budget=100,
        reference=("momentum", {"lr": 3.5, "momentum": 0.88}),
        control={"condition": 2.0},
        signature="share of the squared distance that conjugate gradients leave after 10 steps",
        threshold=0.01,
        truth="One minimum, −w q/2, at zᵢ = qⁱ. No sum of t gradients has a squared distance below "
        "Σ q^2i over i > t; heavy ball has just that.",
        source=SOURCE,
        theory={"sgd": breaking_point_of_descent},
        exceptions={
            "reference": "Within 100 steps no first-order method reaches the target from "
            "condition 4000 on: that is the theorem.",
        },
    )

    def __post_init__(self) -> None:
        require("nesterov_strongly_convex", "dim", self.dim, low=1, whole=True)
        require(
            "nesterov_strongly_convex", "condition", self.condition, low=1, high=1e8, open_low=True
        )

    @property
    def stiffness(self) -> float:
        return (self.condition - 1) / (4 * self.condition)

    @property
    def convexity(self) -> float:
        return 1 / self.condition

    @property
    def anchor(self) -> float:
        return 2 / (math.sqrt(self.condition) + 1)

    @property
    def decay(self) -> float:
        """q; the same as for any chain, written without cancellation."""
        return (math.sqrt(self.condition) - 1) / (math.sqrt(self.condition) + 1)

    def solution(self) -> torch.Tensor:
        return self.decay ** torch.arange(1, self.dim + 1, dtype=torch.float64)

    def lowest(self) -> float:
        return -self.stiffness * self.decay / 2

    def least_square_distance(self, steps: torch.Tensor) -> torch.Tensor:
        """Σ q^2i over i from steps + 1 to n."""
        q, steps = self.decay, steps.double()
        return q ** (2 * steps + 2) * (1 - q ** (2 * (self.dim - steps))) / (1 - q * q)

    def signature(self, data: Tree) -> float:
        x = next(islice(self.conjugate_gradients(data), 10, None))
        left = self.distance(x, data) / self.distance(data["start"], data)
        return left.square().item()

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        least = self.least_square_distance(steps)
        least = torch.where((steps > 0) & (steps < self.dim), least, math.nan)
        return {"bound_ratio": self.distance(x, data).square() / least}

    def run(self, method: str, data: Tree) -> Iterator[torch.Tensor]:
        """The points of one of the methods that claims speak of, at its constants."""
        if method == BEST:
            return self.conjugate_gradients(data)
        if method == FAST:
            return self.accelerated(data, repeat(self.decay))
        rate = 4 / (1 + math.sqrt(1 / self.condition)) ** 2
        return descent(self, data, data["start"], rate, momentum=self.decay**2)

    def ratio_to_bound(self, method: str, steps: int) -> float:
        """The squared distance that a method leaves over q^2t |x₀ − x*|²."""
        data = self.example()
        x = next(islice(self.run(method, data), steps, None))
        left = self.distance(x, data) / self.distance(data["start"], data)
        return left.square().item() / self.decay ** (2 * steps)

    # What rounding leaves of heavy ball's zeros is 10⁻¹⁶ beside q⁶⁰ = 6e-6.
    heavy_after_10 = _ratio(HEAVY, 10, 1.0, 1e-6)
    heavy_after_30 = _ratio(HEAVY, 30, 1.0, 1e-6)
    heavy_after_60 = _ratio(HEAVY, 60, 1.0, 1e-6)
    # To the digits given.
    best_after_10 = _ratio(BEST, 10, 1.60, 5e-3)
    best_after_30 = _ratio(BEST, 30, 1.669, 5e-4)
    best_after_60 = _ratio(BEST, 60, 1.669, 5e-4)
    fast_after_10 = _ratio(FAST, 10, 5.8, 1e-2)
    fast_after_30 = _ratio(FAST, 30, 217, 5e-3)
    fast_after_60 = _ratio(FAST, 60, 5.6e4, 1e-2)

    @Claim(
        "so far is heavy ball's t-th point from the first t coordinates of the solution",
        stated=0.0,
        within=(0.0, 1e-14),
        source="derived",
    )
    def heavy_ball_error(self) -> float:
        """At every t up to 30 and Q = 100.

        With xₜ of that kind, H xₜ − w e₁ is nonzero in coordinates t and t + 1 only, because the
        chain's equation holds before; the rate takes the second to q^(t+1), and q² (xₜ − xₜ₋₁) cancels the
        first.
        """
        problem = replace(self, condition=100.0)
        data = problem.example()
        points = torch.stack(list(islice(problem.run(HEAVY, data), 31))) - data["start"]
        exact = problem.solution() * torch.ones_like(points).tril(-1)
        return (points - exact).abs().max().item()

    @Claim(
        "so far is qⁱ from the solution of the linear equations, at Q = 100 and dim 400",
        stated=0.0,
        within=(0.0, 1e-14),
        source=SOURCE,
    )
    def solution_error(self) -> float:
        problem = replace(self, dim=400, condition=100.0)
        matrix = problem._times_hessian(torch.eye(400))
        pull = problem.stiffness * torch.eye(400)[0]
        return (torch.linalg.solve(matrix, pull) - problem.solution()).abs().max().item()

    @Claim(
        "smallest curvature over 1/Q, at Q = 100 and dim 400",
        stated=1.0015,
        within=about(1.0015, abs=5e-5),
        source="derived",
    )
    def smallest_curvature(self) -> float:
        problem = replace(self, dim=400, condition=100.0)
        return 100 * torch.linalg.eigvalsh(problem._times_hessian(torch.eye(400)))[0].item()

    @Claim(
        "off the quadratics heavy ball may go round in a cycle, whose highest point is this",
        stated=2592 / 1225,
        within=about(2592 / 1225, abs=1e-6),
        source="Lessard, Recht & Packard 2016, section 4.6",
    )
    def cycle(self) -> float:
        """Curvatures 25, 1, 25, at the constants for quadratics of curvatures from 1 to 25, from 3.3."""
        before = x = 3.3
        points = []
        for _ in range(300):
            slope = 25 * x if x < 1 else x + 24 if x < 2 else 25 * x - 24
            before, x = x, x - slope / 9 + 4 / 9 * (x - before)
            points.append(x)
        return max(points[-3:])

    def portrait(self) -> Curves:
        data = self.example()
        steps = torch.arange(0, self.dim // 2, 2)
        dots = {}
        for method in METHODS:
            points = torch.stack(list(islice(self.run(method, data), 0, self.dim // 2, 2)))
            dots[method] = (steps, self.distance(points, data).square())
        return Curves(
            caption="No sum of gradients comes nearer than the line; heavy ball lies on it.",
            x_label="steps",
            y_label="squared distance",
            lines={"least possible": (steps, self.least_square_distance(steps))},
            dots=dots,
            y_scale="log",
        )
