"""The strongly convex quadratic on which heavy ball is the fastest of all first-order methods."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import islice

import torch

from problems.limits.chain import Chain
from problems.limits.first_order import conjugate_gradients, descent_misses
from problems.problem import Card, Tree, dial
from problems.registry import register
from ravine import bounded

SOURCE = "Nesterov 2004, theorem 2.1.13"


def breaking_point_of_descent(problem: NesterovStronglyConvex, budget: float) -> float:
    """Return the condition, to 2 %, from which gradient descent misses the target at any rate."""
    low, high = math.log(1.1), math.log(1e8)
    while high - low > 0.02:
        middle = (low + high) / 2
        misses = descent_misses(replace(problem, condition=math.exp(middle)), budget)
        low, high = (low, middle) if misses else (middle, high)
    return math.exp(high)


@register("nesterov_strongly_convex")
@dataclass(frozen=True)
class NesterovStronglyConvex(Chain):
    """A chain with springs: the bound on all first-order methods, which heavy ball attains exactly.

    f(x) = ½ zᵀ(w A + I/Q) z − w z₁, z = x − x₀, w = (Q − 1)/(4Q), A tridiagonal (−1, 2, −1) but for its last entry,
    (√Q + 3)/(√Q + 1).

    The curvatures lie between 1/Q and 1, and the last entry makes the solution that of an endless chain, zᵢ = qⁱ with
    q = (√Q − 1)/(√Q + 1). After t gradients only t coordinates can have moved, so that for any sum of them

        |x_t − x*|² ≥ Σ q^2i over i > t, which is q^2t |x₀ − x*|² where n is large.

    Heavy ball at Polyak's constants 4/(1 + √(1/Q))² and q² has moved just those, each to its very place: equality.
    Nesterov's method at its constants comes nearer like (1 − 1/√Q)^t instead of q^t. On losses that are not quadratic
    heavy ball may not even converge.

    `bound_ratio` is the squared distance at the end over the least one after so many steps; NaN after none.

    dim: more than the budget has steps.
    condition: Q. Within 100 steps no first-order method reaches the target from 4000 on.
    rotated: False leaves the chain along the axes, where it is famous; True hides it.

    Nesterov 2004, "Introductory lectures on convex optimization", section 2.1.4; Polyak 1964; Deep Learning, section
    8.2.8.
    """

    dim: int = bounded(200, low=1)
    condition: float = dial(300.0, above=1, high=1e8)
    rotated: bool = False

    card = Card(
        scale="log",
        ladder=(10.0, 300.0, 1e4),
        quick={},
        target=1e-4,
        budget=100,
        reference=("momentum", {"lr": 3.5, "momentum": 0.88}),
        control={"condition": 2.0},
        breaks=("sgd", "ill_conditioning"),
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
        """Return q: the same as for any chain, written without cancellation."""
        return (math.sqrt(self.condition) - 1) / (math.sqrt(self.condition) + 1)

    def solution(self) -> torch.Tensor:
        return self.decay ** torch.arange(1, self.dim + 1, dtype=torch.float64)

    def lowest(self) -> float:
        return -self.stiffness * self.decay / 2

    def least_square_distance(self, steps: torch.Tensor) -> torch.Tensor:
        """Return Σ q^2i over i from steps + 1 to n: (*runs)."""
        q, steps = self.decay, steps.double()
        return q ** (2 * steps + 2) * (1 - q ** (2 * (self.dim - steps))) / (1 - q * q)

    def signature(self, data: Tree) -> float:
        x = next(islice(conjugate_gradients(self, data), 10, None))
        left = self.distance(x, data) / self.distance(data["start"], data)
        return left.square().item()

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        least = self.least_square_distance(steps)
        least = torch.where((steps > 0) & (steps < self.dim), least, math.nan)
        return {"bound_ratio": self.distance(x, data).square() / least}
