"""A critical point with a random symmetric matrix for its Hessian, which is almost never positive definite."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.problem import Card, Tree, dial
from problems.registry import register
from problems.saddles.newton_iteration import directions_down
from problems.saddles.walled_form import WalledForm
from ravine import bounded


def breaking_point_of_newton(problem: GoeSaddle, budget: float) -> float:
    """Return 1: in one dimension half of the centres are minima, in more dimensions fewer."""
    return 1.0


@register("goe_saddle")
@dataclass(frozen=True)
class GoeSaddle(WalledForm):
    """A critical point with a random symmetric matrix for its Hessian, which is almost never positive definite.

    f(x) = ½ yᵀ H y + (q/4)|y|⁴, y = x − c, H from the Gaussian orthogonal ensemble: independent N(0, 1) off the
    diagonal, N(0, 2) on it.

    Eigenvalues repel each other, so that c is a minimum far more rarely than one time in 2^dim: ½,
    (2 − √2)/4 and (π − 2√2)/4π for dim 1, 2 and 3, then 0.0025, 0.00014, …, for large dim e^(−(ln 3)/4 · dim²).
    Newton's method ends at c, and so finds a minimum that often. Descent leaves c, and is slowed only by
    the gap between the two lowest eigenvalues, some dim^(2/3) times as small as the largest.

    The start is half as far from c as Newton's method may start to be sure to end there.

    dim: x is (dim,).
    lift: adds lift·√dim to all eigenvalues, which lie between ±2√dim without it. Above 2, for large dim, c
        is the minimum and the only critical point.
    wall: q; it only sets the unit of length.

    Dean & Majumdar 2006, arXiv:cond-mat/0609651; Deep Learning, section 8.2.3.
    """

    dim: int = dial(10, low=1)
    lift: float = bounded(0.0)
    wall: float = bounded(0.01, above=0)

    card = Card(
        scale="log",
        ladder=(1, 4, 20),
        target=1e-4,
        budget=1000,
        reference=("momentum", {"lr": 0.03, "momentum": 0.9}),
        control={"lift": 4.0},
        breaks=("newton", "negative_curvature"),
        same=("saddle",),
        signature="directions down where Newton's method ends",
        threshold=1.0,
        truth="Two minima, −λ₁²/4q, on the axis of the lowest eigenvalue; all other critical points "
        "are known, and saddles. Where no eigenvalue is negative, one minimum, 0, and no other "
        "critical point: a share of (1/2, 0.146, 0.025, …, e^(−(ln 3)/4 · dim²)).",
        source="Dean & Majumdar 2006; Goodfellow, Bengio & Courville 2016, section 8.2.3",
        theory={"newton": breaking_point_of_newton},
    )

    def matrices(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Return `count` random H: (count, dim, dim)."""
        drawn = torch.randn(count, self.dim, self.dim, generator=generator)
        lift = self.lift * math.sqrt(self.dim)
        return (drawn + drawn.mT) / math.sqrt(2) + lift * torch.eye(self.dim)

    def instance(self, generator: torch.Generator) -> Tree:
        curvatures, basis = torch.linalg.eigh(self.matrices(1, generator)[0])
        return self.start_near(curvatures, basis, generator)

    def signature(self, data: Tree) -> float:
        return directions_down(self, data)
