"""A quadratic on which no method that follows gradients is fast, whatever it does with them."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch

from problems.claims import Claim, about
from problems.descent import descent
from problems.limits.chain import Chain
from problems.portrait import Curves
from problems.problem import Card, Tree
from problems.registry import register
from ravine import require

SOURCE = "Nesterov 2004, theorem 2.1.7"
BEST, FAST, PLAIN = METHODS = ("conjugate gradients", "Nesterov's method", "gradient descent")


def breaking_point_of_descent(problem: Any, budget: float) -> float:
    """The first horizon at which gradient descent leaves more than the target, at any constant rate."""

    def fails(horizon: int) -> bool:
        left = replace(problem, horizon=horizon).gap_left_by_descent(int(budget))
        return left > problem.card.target

    return float(1 + bisect.bisect_left(range(1, 200), True, key=fails))


def _ratio(method: str, steps: int, stated: float, digit: float) -> Claim:
    """The claim about a method's gap, in units of Nesterov's bound, after half as many steps as dim."""

    def measure(problem: Any) -> float:
        return replace(problem, horizon=steps).ratio_to_bound(method)

    return Claim(
        f"the gap that {method} leaves after {steps} steps in dimension {2 * steps + 1}, over the bound",
        stated=stated,
        within=about(stated, abs=digit / 2),
        source=SOURCE,
    )(measure)


@register("nesterov_worst")
@dataclass(frozen=True)
class NesterovWorst(Chain):
    """A chain pulled at its end: each gradient reaches one coordinate farther, and no more.

    f(x) = ⅛ [z₁² + Σ (zᵢ − zᵢ₊₁)² + zₙ²] − ¼ z₁, z = x − x₀, n = 2 horizon + 1.

    The curvatures are sin²(πj/(2n + 2)), all below L = 1. The minimum is at zᵢ = 1 − i/(n + 1), so
    that all coordinates must move, but after t gradients only t of them can have. So no sum of
    t gradients has a gap below ⅛ (1/(t + 1) − 1/(n + 1)); for t = horizon that is

        3 L |x₀ − x*|²/(32 (t + 1)²)

    up to less than 1 + 1/t: no first-order method is faster than 1/t² on all smooth convex losses
    while it has taken fewer steps than there are dimensions. Nesterov's own method is that fast,
    but for a factor 3. Gradient descent falls behind like √t.

    The budget is 100 steps, and conjugate gradients, the best that sums of gradients can do,
    could not reach the target within it from horizon 56 on. Methods that scale each coordinate
    by itself are no better off: a coordinate without news has no gradient to scale.

    `bound_ratio` is the gap at the end over the least one after so many steps; who took none has none.

    horizon: for how many steps the bound speaks.
    rotated: False leaves the chain along the axes, where it is famous; True hides it.
    ridge: adds (ridge/2) |z|²; at 1 the curvatures are within a factor of 2, and the bound is not for
        this kind any more.

    Nesterov 2004, "Introductory lectures on convex optimization", section 2.1.2; Deep Learning,
    section 8.2.8.
    """

    horizon: int = 100
    rotated: bool = False
    ridge: float = 0.0

    card = Card(
        dial="horizon",
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
            "ranked": "Beyond horizon 55 nobody solves it; what tells methods apart is the ratio "
            "of their gap to the least possible.",
        },
    )

    def __post_init__(self) -> None:
        require("nesterov_worst", "horizon", self.horizon, low=1, whole=True)
        require("nesterov_worst", "ridge", self.ridge, low=0)

    @property
    def dim(self) -> int:
        """n."""
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
        """−⅛ z₁."""
        return -self.first(torch.tensor(self.dim)).item() / 8

    def signature(self, data: Tree) -> float:
        return self.ratio_to_bound(BEST, data)

    def predicted_share(self) -> float | None:
        """0 where the least gap within the budget is above the target, and unknown elsewhere."""
        steps = torch.tensor(min(self.budget, self.dim))
        target = -self.card.target * self.lowest()
        return 0.0 if self.least_gap(steps).item() > target else None

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        least = self.least_gap(steps)
        least = torch.where((steps > 0) & (steps < self.dim), least, math.nan)
        return {"bound_ratio": self.gap(x, data) / least}

    def ratio_to_bound(self, method: str, data: Tree | None = None) -> float:
        """The gap that a method leaves after `horizon` steps over Nesterov's bound."""
        data = self.example() if data is None else data
        x = next(islice(self.run(method, data), self.horizon, None))
        distance = self.distance(data["start"], data)
        return (self.gap(x, data) * 32 * (self.horizon + 1) ** 2 / (3 * distance**2)).item()

    def run(self, method: str, data: Tree) -> Iterator[torch.Tensor]:
        """The points of one of the methods that claims speak of, at the rate 1/L = 1."""
        if method == BEST:
            return self.conjugate_gradients(data)
        if method == FAST:
            return self.accelerated(data, _growing_momentum())
        return descent(self, data, data["start"], 1.0)

    best_after_5 = _ratio(BEST, 5, 1.1383, 1e-4)
    best_after_20 = _ratio(BEST, 20, 1.0367, 1e-4)
    best_after_50 = _ratio(BEST, 50, 1.0149, 1e-4)
    best_after_100 = _ratio(BEST, 100, 1.0075, 1e-4)
    fast_after_5 = _ratio(FAST, 5, 2.83, 1e-2)
    fast_after_20 = _ratio(FAST, 20, 3.06, 1e-2)
    fast_after_50 = _ratio(FAST, 50, 3.16, 1e-2)
    fast_after_100 = _ratio(FAST, 100, 3.22, 1e-2)
    plain_after_5 = _ratio(PLAIN, 5, 3.46, 1e-2)
    plain_after_20 = _ratio(PLAIN, 20, 6.61, 1e-2)
    plain_after_50 = _ratio(PLAIN, 50, 10.6, 1e-1)
    plain_after_100 = _ratio(PLAIN, 100, 15.2, 1e-1)

    @Claim(
        "so far is the gap of conjugate gradients from ⅛ (1/(t + 1) − 1/(n + 1)), in units of it",
        stated=0.0,
        within=(0.0, 1e-10),
        source=SOURCE,
    )
    def formula_error(self) -> float:
        """At every step up to the horizon; what remains is rounding."""
        data = self.example()
        points = torch.stack(list(islice(self.conjugate_gradients(data), self.horizon + 1)))
        t = torch.arange(len(points))
        exact = (1 / (t + 1) - 1 / (self.dim + 1)) / 8
        return (self.gap(points, data) / exact - 1).abs().max().item()

    @Claim(
        "after t steps of heavy ball the largest coordinate beyond the t-th",
        stated=0.0,
        within=(0.0, 0.0),
        source=SOURCE,
    )
    def news_from_afar(self) -> float:
        """Zero without rounding: a difference of equal numbers is exactly zero."""
        data = self.example()
        path = descent(self, data, data["start"], 3.5, momentum=0.9)
        points = torch.stack(list(islice(path, self.horizon + 1))) - data["start"]
        return points.triu().abs().max().item()

    @Claim(
        "log-log slope of descent's ratio to the bound, from 20 to 100 steps",
        stated=0.5,
        within=about(0.5, abs=0.05),
        source="derived",
    )
    def falls_behind(self) -> float:
        """The steps seen from afar are a diffusion: the gap falls like 1/√t for t < n², not like 1/t."""
        early, late = (replace(self, horizon=k).ratio_to_bound(PLAIN) for k in (20, 100))
        return math.log(late / early) / math.log(5)

    def portrait(self) -> Curves:
        data = self.example()
        steps = torch.arange(1, self.horizon + 1)
        dots = {}
        for method in METHODS:
            points = torch.stack(list(islice(self.run(method, data), self.horizon + 1)))
            dots[method] = (steps, self.gap(points, data)[1:])
        return Curves(
            caption="No sum of gradients gets below the line; conjugate gradients lie on it, "
            "Nesterov's method stays within a factor of it, descent does not.",
            x_label="steps",
            y_label="gap",
            lines={"least possible": (steps, self.least_gap(steps))},
            dots=dots,
            x_scale="log",
            y_scale="log",
        )


def _growing_momentum() -> Iterator[float]:
    """(t − 1)/t⁺ with t⁺ = (1 + √(1 + 4t²))/2, from t = 1: Nesterov 1983."""
    t = 1.0
    while True:
        following = (1 + math.sqrt(1 + 4 * t * t)) / 2
        yield (t - 1) / following
        t = following
