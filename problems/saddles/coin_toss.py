"""A critical point whose curvatures have tossed a coin for their signs, in a bowl."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from problems.geometry import random_rotation
from problems.problem import Card, Tree, dial
from problems.registry import register
from problems.saddles.newton_iteration import directions_down
from problems.saddles.walled_form import WalledForm
from ravine import bounded

FLATTEST = 0.3  # the smallest curvature, in size; the largest but one is 1


@register("coin_toss")
@dataclass(frozen=True)
class CoinToss(WalledForm):
    """A critical point whose curvatures have tossed a coin for their signs, in a bowl.

    f(x) = ½ yᵀ H y + (q/4)|y|⁴, y = x − c, H = Q diag(±|λ_i|) Qᵀ with fair and independent signs.

    c is a minimum only if all coins show heads, in one of 2^dim instances; the number of directions down
    is binomial. Newton's method ends at c, whatever c is; descent leaves it. Descent is slowed by the
    gap between the two most negative curvatures: it takes some 1/gap steps to tell their valleys apart,
    as a power iteration does. At the minimum |y|² = −λ₁/q: the curvatures are −2λ₁ = 2 (1 + gap) along it and
    λᵢ − λ₁ ≤ 2 + gap across, the least of them gap; so the condition number is 2 (1 + gap)/gap, where two coins or
    more show tails.

    Sizes are uniform in [0.3, 1]; then the most negative curvature becomes −(1 + gap), the next −1. The
    start is half as far from c as Newton's method may start to be sure to end there.

    dim: x is (dim,).
    gap: between the most negative curvature and the next, at least 3e-4: the second valley ends 2 gap of
        the height above the minimum, which must exceed the target.
    up: the probability of heads, a positive curvature. 1 leaves a bowl.
    wall: q; it only sets the unit of length, √(1/q).

    Deep Learning, section 8.2.3; Dauphin et al. 2014, arXiv:1406.2572.
    """

    dim: int = bounded(10, low=1)
    gap: float = dial(0.003, low=3e-4)
    up: float = bounded(0.5, low=0, high=1)
    wall: float = bounded(0.01, above=0)

    card = Card(
        scale="log",
        ladder=(1.0, 0.1, 0.001),
        target=1e-4,
        budget=1000,
        reference=("saddle_free_newton", {"lr": 1.0, "damping": 1e-4}),
        control={"up": 1.0},
        breaks=("newton", "negative_curvature"),
        same=("saddle",),
        signature="directions down where Newton's method ends",
        threshold=1.0,
        truth="Two minima, −(1 + gap)²/4q, on the axis of the most negative curvature; all other "
        "critical points are known, and saddles. Where no coin shows tails, in one of 2^dim "
        "instances, one minimum, 0, and no other critical point.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.3; Dauphin et al. 2014",
    )

    def instance(self, generator: torch.Generator) -> Tree:
        heads = torch.rand(self.dim, generator=generator) < self.up
        sizes = FLATTEST + (1 - FLATTEST) * torch.rand(self.dim, generator=generator)
        basis = random_rotation(self.dim, generator)
        curvatures = torch.where(heads, sizes, -sizes).sort().values
        ends = torch.tensor([-1 - self.gap, -1.0])[: self.dim]
        curvatures[:2] = torch.where(curvatures[:2] < 0, ends, curvatures[:2])
        return self.start_near(curvatures, basis, generator)

    def signature(self, data: Tree) -> float:
        return directions_down(self, data)
