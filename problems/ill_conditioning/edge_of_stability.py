"""A loss that sharpens on the way down, until descent rests where the curvature is 2/η: without any noise."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch

from problems.descent import descent
from problems.one_minimum import OneMinimum
from problems.problem import Card, CriticalPoint, Tree, dial
from problems.registry import register
from problems.theory import first_failing

STIFFNESS = 50.0  # h₀ in the middle: at 1 a single step of descent would lead to the minimum
SLANT = (
    3e-4  # of the floor, and scale of the start's distance from it: what the oscillation grows from
)
FLATTENING = 16.0  # by which δ is shorter than the way on which the largest curvature grows e-fold
RESOLVED = 13.0  # sharpening beyond which the curvature along is below 1e-8 of that across, which checks count as 0
BETA1 = 0.9  # of Adam, which is not searched


@register("edge_of_stability")
@dataclass(frozen=True)
class EdgeOfStability(OneMinimum):
    """A loss that sharpens on the way down, until descent rests where the curvature is 2/η.

    f(x, y) = ½ x² + h δ² (√(1 + e²/δ²) − 1), h = h₀ e^(k (1 + x)), e = y − s x, from x = −1 to the minimum 0;
    δ = 1/16k, s = 0.0003, and the seed draws the origin, h₀ between 41 and 61, and a start near the floor e = 0.

    On the floor the largest curvature is h, e^k times as large at the minimum as at the start. Where it passes an
    optimizer's limit, e begins to jump from wall to wall, and these push x back by k times their share of the loss,
    which holds h at the limit: 2 (1 + β)/η for heavy ball with v ← βv + g, so 2/η for descent. It needs no noise: the
    floor is slanted, so that e lags behind and does not shrink to 0. And it needs walls that flatten: with parabolas
    h goes round in cycles, ever larger ones with momentum. Heavy ball rests exactly where

        h = 2 (1 + β) r/η, r (r − 1) = 128 k η |x|/(1 + β), r = √(1 + e²/δ²).

    There, on the walls, the curvature is h/r³, so the largest eigenvalue of the Hessian rests at 2 (1 + β)/(η r²). That
    is close to the limit for small rates, and far below it for large ones: at k = 6, 0.88 of it for 2 (1 + β)/η = 5000
    and 0.47 for 1000.

    Adam has the limit (2 + 2β₁)/((1 − β₁) η) = 38/η of P⁻¹H, P = diag(√v̂), and √v̂ grows with the oscillation: it is
    held where |e| ~ η/38, and goes on while the push k h e²/2 is weaker than its slope |x|. On average the
    largest eigenvalue of P⁻¹H is a few per cent below the limit.

    So the largest curvature up to the target, λ = h₀ e^(k (1 − √target)), sets what each can do. Descent needs the time
    ½ ln(1/target) at the rate 2/λ, heavy ball at its best a time ~ √λ, and Adam ~ √λ steps, too.

    sharpening: k, the logarithm of how much larger the largest curvature is at the minimum.

    Cohen et al. 2021, arXiv:2103.00065, and 2022, arXiv:2207.14484. The push back: Damian, Nichani & Lee 2022,
    arXiv:2209.15594. Walls that flatten: Ma et al. 2022, arXiv:2204.11326.
    """

    sharpening: float = dial(6.0, low=0, high=100)

    card = Card(
        scale="linear",
        ladder=(0.0, 4.0, 12.0),
        target=0.01,
        budget=1000,
        reference=("trust_region", {}),
        control={"sharpening": 0.0},
        removes={"sharpening": {"sharpening": 0.0}},
        breaks=("sgd", "sharpening"),
        also="ill_conditioning",
        signature="the largest curvature that descent at the rate 0.01 meets, over its limit 2/η = 200",
        threshold=0.9,
        truth="One critical point, the minimum 0 at x = y = 0, with the curvatures 1 and h₀ e^sharpening. Heavy ball "
        "rests where the largest curvature on the floor is 2 (1 + β) r/η, and 2 (1 + β)/(η r²) at the iterate; r is "
        "near 1 for small η.",
        source="Cohen et al. 2021, arXiv:2103.00065; Damian, Nichani & Lee 2022, arXiv:2209.15594",
        exceptions={"random_search": "its 3000 trials are at times enough in two dimensions"},
        theory={
            name: lambda problem, budget, name=name: problem.breaking_point(name, budget)
            for name in ("sgd", "momentum", "adam")
        },
    )

    def instance(self, generator: torch.Generator) -> Tree:
        origin, beside = torch.randn(2, 2, generator=generator)
        stiffness = STIFFNESS * 1.5 ** (torch.rand((), generator=generator) - 0.5)
        start = origin + torch.stack([-torch.ones(()), SLANT * beside[1]])
        return {"start": start, "minimizer": origin, "stiffness": stiffness}

    def stiffness(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return h, the largest curvature on the floor beside x: (*runs)."""
        along = (x - data["minimizer"])[..., 0]
        return data["stiffness"] * (self.sharpening * (1 + along)).exp()

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        along, wall, *_ = self._parts(x, data)
        return along.square() / 2 + wall

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        along, wall, push, _ = self._parts(x, data)
        slope = along + self.sharpening * wall - SLANT * push
        return along.square() / 2 + wall, torch.stack([slope, push], -1)

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        _, wall, push, curvature = self._parts(x, data)
        k = self.sharpening
        mixed = k * push - SLANT * curvature
        along = 1 + k**2 * wall - SLANT * k * push - SLANT * mixed
        rows = torch.stack([along, mixed, mixed, curvature], -1)
        return rows.unflatten(-1, (2, 2))

    def _parts(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, ...]:
        """Return x, and the walls' loss with its first and second derivative in e, from the minimum: (*runs) each."""
        along, beside = (x - data["minimizer"]).unbind(-1)
        beside = beside - SLANT * along
        stiffness = self.stiffness(x, data)
        root = (1 + (FLATTENING * self.sharpening * beside).square()).sqrt()
        # h δ² (r − 1) = h e²/(1 + r), which holds at δ = ∞, too.
        wall = stiffness * beside.square() / (1 + root)
        return along, wall, stiffness * beside / root, stiffness / root**3

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return the minimum, unless one of its curvatures counts as 0 beside the other."""
        minimum = CriticalPoint(data["minimizer"], 0.0, index=0)
        return (minimum,) if self.sharpening <= RESOLVED else ()

    def signature(self, data: Tree) -> float:
        points = itertools.islice(descent(self, data, data["start"], 0.01), 300)
        curvatures = torch.linalg.eigvalsh(self.hessian(torch.stack(list(points)), data))
        return curvatures.max().item() * 0.01 / 2

    def sharpest(self) -> float:
        """Return λ, the largest curvature on the floor up to the target, at the middle h₀."""
        return STIFFNESS * math.exp(self.sharpening * (1 - math.sqrt(self.card.target)))

    def steps(self, optimizer: str) -> float:
        """Return how many steps theory predicts for an optimizer at its best hyperparameters, at the middle h₀.

        With λ as above and a = √target, the |x| of the target, for
        sgd: ln a/ln(1 − η) at the limit η = 2/λ;
        momentum: arccos(a)/ω at β → 1 and the limit η = 4/λ, where x = −cos ωt with 2 sin(ω/2) = √η;
        adam: (1 − a)/η + 1/(1 − β₁), the way in steps of η and the time until e settles. While the run is shorter than
            1/(1 − β₂), v̂ is the mean of g² up to now. For √v̂ to keep up with h at the limit, √v̂ = h η/38, in the
            t = 1/η steps of the way, g² = d(t v̂)/dt = (1 + 2k) v̂. So e² = (1 + 2k)(η/38)², and the push k λ e²/2
            equals the slope a at the largest η.
        """
        k, aim, sharpest = self.sharpening, math.sqrt(self.card.target), self.sharpest()
        if optimizer == "sgd":
            return math.log(aim) / math.log1p(-2 / sharpest)
        if optimizer == "momentum":
            return math.acos(aim) / (2 * math.asin(1 / math.sqrt(sharpest)))
        if optimizer == "adam":
            jump = (2 * aim / sharpest / max(k, 1e-9) / (1 + 2 * k)) ** 0.5
            return (1 - aim) / min(1, jump * 2 * (1 + BETA1) / (1 - BETA1)) + 1 / (1 - BETA1)
        raise KeyError(optimizer)

    def breaking_point(self, optimizer: str, budget: float) -> float:
        """Return the least sharpening, to 0.01, at which `steps` is more than the budget; infinity if none is."""
        sharpenings = [each / 100 for each in range(10_001)]
        return first_failing(sharpenings, lambda each: self.at_dial(each).steps(optimizer) > budget)
