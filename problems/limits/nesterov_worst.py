"""A quadratic on which no method that follows gradients is fast, whatever it does with them."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, replace
from itertools import islice

import torch

from problems.limits.chain import Chain
from problems.limits.first_order import conjugate_gradients, descent_misses
from problems.problem import Card, Tree, dial
from problems.registry import register
from ravine import bounded

SOURCE = "Nesterov 2004, theorem 2.1.7"


def breaking_point_of_descent(problem: NesterovWorst, budget: float) -> float:
    """Return the first horizon at which gradient descent misses the target at any constant rate."""

    def fails(horizon: int) -> bool:
        return descent_misses(replace(problem, horizon=horizon), budget)

    return float(1 + bisect.bisect_left(range(1, 200), True, key=fails))


@register("nesterov_worst")
@dataclass(frozen=True)
class NesterovWorst(Chain):
    """A chain pulled at its end: each gradient reaches one coordinate farther, and no more.

    f(x) = ⅛ [z₁² + Σ (zᵢ − zᵢ₊₁)² + zₙ²] − ¼ z₁, z = x − x₀, n = 2 horizon + 1.

    The curvatures are sin²(πj/(2n + 2)), all below L = 1. The minimum is at zᵢ = 1 − i/(n + 1), so that all coordinates
    must move, but after t gradients only t of them can have. So no sum of t gradients has a gap below
    ⅛ (1/(t + 1) − 1/(n + 1)); for t = horizon that is

        3 L |x₀ − x*|²/(32 (t + 1)²)

    up to less than 1 + 1/t: no first-order method is faster than 1/t² on all smooth convex losses while it has taken
    fewer steps than there are dimensions. Nesterov's own method is that fast, but for a factor 3. Gradient descent
    falls behind like √t.

    The budget is 100 steps, and conjugate gradients, the best that sums of gradients can do, could not reach the target
    within it from horizon 56 on. Methods that scale each coordinate by itself are no better off: a coordinate without
    news has no gradient to scale.

    `bound_ratio` is the gap at the end over the least one after so many steps; NaN after none.

    horizon: for how many steps the bound speaks.
    rotated: False leaves the chain along the axes, where it is famous; True hides it.
    ridge: adds (ridge/2) |z|²; at 1 the curvatures are within a factor of 2, and the bound does not hold any more.

    Nesterov 2004, "Introductory lectures on convex optimization", section 2.1.2; Deep Learning, section 8.2.8.
    """

    horizon: int = dial(100, low=1)
    rotated: bool = False
    ridge: float = bounded(0.0, low=0)

    card = Card(
        scale="log",
        ladder=(5, 25, 100),
        target=1e-3,
        budget=100,
        reference=("momentum", {"lr": 3.5, "momentum": 0.88}),
        control={"ridge": 1.0},
        signature="gap that conjugate gradients leave after `horizon` steps, over "
        "3 |x₀ − x*|²/(32 (horizon + 1)²)",
        threshold=1.0,
        truth="One minimum, −⅛ (1 − 1/(n + 1)), at zᵢ = 1 − i/(n + 1). No sum of t gradients has a "
        "gap below ⅛ (1/(t + 1) − 1/(n + 1)).",
        source=SOURCE,
        theory={"sgd": breaking_point_of_descent},
        exceptions={
            "reference": "Within 100 steps no first-order method reaches the target from horizon "
            "56 on: that is the theorem.",
            "ranked": "Beyond horizon 55 no method solves it; what tells methods apart is the ratio "
            "of their gap to the least possible.",
        },
    )

    @property
    def dim(self) -> int:
        """Return n."""
        return 2 * self.horizon + 1

    @property
    def stiffness(self) -> float:
        return 0.25

    @property
    def convexity(self) -> float:
        return self.ridge

    def solution(self) -> torch.Tensor:
        i, n = torch.arange(1, self.dim + 1, dtype=torch.float64), self.dim
        if not self.ridge:
            return 1 - i / (n + 1)
        q = self.decay
        return q**i * (1 - q ** (2 * (n + 1 - i))) / (1 - q ** (2 * n + 2))

    def lowest(self) -> float:
        """Return the minimum, −⅛ z₁."""
        return -self.first(torch.tensor(self.dim)).item() / 8

    def signature(self, data: Tree) -> float:
        best = next(islice(conjugate_gradients(self, data), self.horizon, None))
        return self.ratio_to_bound(best, data)

    def predicted_share(self) -> float | None:
        """Return 0 where the least gap within the budget is above the target, and None elsewhere."""
        steps = torch.tensor(min(self.budget, self.dim))
        target = -self.card.target * self.lowest()
        return 0.0 if self.least_gap(steps).item() > target else None

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        least = self.least_gap(steps)
        least = torch.where((steps > 0) & (steps < self.dim), least, math.nan)
        return {"bound_ratio": self.gap(x, data) / least}

    def ratio_to_bound(self, x: torch.Tensor, data: Tree) -> float:
        """Return the gap at a point reached in `horizon` steps, over Nesterov's bound."""
        distance = self.distance(data["start"], data)
        return (self.gap(x, data) * 32 * (self.horizon + 1) ** 2 / (3 * distance**2)).item()
