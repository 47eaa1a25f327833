"""A product of many weights, whose gradient grows with a power of nearly twice their number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.problem import Card, CriticalPoint, Problem, Tree, dial
from problems.registry import register
from ravine import Refused, bounded

SPREAD = 0.1  # of the weights at the start, around the radius


@register("product_cliff")
@dataclass(frozen=True)
class ProductCliff(Problem):
    """Weights that are multiplied: far out a cliff, in the middle a saddle without any slope.

    f(w) = ½ (∏ wᵢ − c)², i = 1 … dim.

    Where all weights have the size a, each entry of the gradient is (aⁿ − c) aⁿ⁻¹: twice as far out it
    is 2²ⁿ⁻¹ times as large. A rate that is small enough for the start is hopeless in the valley, where
    the curvature is about n; a larger one throws w across it, to where the product has the wrong sign,
    or near the origin, where all derivatives up to the (n − 1)-th vanish. Methods that divide by a
    memory of past gradients stand still for as long as that memory lasts.

    Starts have |wᵢ| within 10 % of the radius and random signs, an even number of them negative, so that
    the way to the minima crosses no saddle. Solved means f ≤ target · c²/2, the height of the saddles,
    since the start's own is huge; the target is low because chance meets a surface more easily than a
    point.

    dim: n; the cliff is aⁿ high. float32 overflows at the start from dim 57 on, at radius 2.
    radius: a at the start.
    product: c.

    Goodfellow, Bengio & Courville 2016, section 8.2.4: cliffs come of several large weights that are
    multiplied.
    """

    dim: int = dial(6, low=2)
    radius: float = bounded(2.0, above=0)
    product: float = bounded(1.0, above=0)

    card = Card(
        scale="log",
        ladder=(2, 6, 32),
        target=1e-8,
        budget=1000,
        reference=("clipped_sgd", {"lr": 0.02, "threshold": 1.0}),
        control={"dim": 2},
        breaks=("sgd", "cliff"),
        also="saddle",
        signature="factor by which the gradient grows from the start to twice as far out",
        threshold=1e3,
        truth="The minimum is 0, where the product is c; there the Hessian is v vᵀ, vᵢ = c/wᵢ, and its one "
        "curvature Σ (c/wᵢ)² at least n c^(2 − 2/n). All other critical points have two or more weights "
        "equal to 0, and the value c²/2: with two they are saddles of index 1 and nullity n − 2, with "
        "more the Hessian is 0.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.4",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # From there on the start is above the valley whatever is drawn, by more than the target.
        above, height = self.dim * math.log((1 - SPREAD) * self.radius), math.log(self.product)
        if above < height + 0.1:
            raise Refused(
                f"product_cliff.radius is {self.radius!r}, but must be above "
                f"{math.exp((height + 0.1) / self.dim) / (1 - SPREAD):.3g} for this dim and product: "
                "nearer the valley there is no cliff"
            )
        if 4 * self.dim * math.log10(2.2 * self.radius) > 300:
            raise Refused(
                f"product_cliff.dim is {self.dim}, but must be at most "
                f"{int(75 / math.log10(2.2 * self.radius))} at radius {self.radius:g}: "
                "float64 overflows beyond"
            )

    def instance(self, generator: torch.Generator) -> Tree:
        size, sign = torch.rand(self.dim, 2, generator=generator).unbind(-1)
        signs = torch.where(sign < 0.5, -1.0, 1.0)
        signs[0] = signs[1:].prod()
        return {"start": signs * self.radius * (1 + SPREAD * (2 * size - 1)), "signs": signs}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return 0.5 * (x.prod(-1) - self.product).square()

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return x.prod(-1, keepdim=True) - self.product

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both; a gradient's entry is the error times the product of the others, without a division."""
        one = torch.ones_like(x[..., :1])
        before = torch.cat([one, x[..., :-1].cumprod(-1)], -1)
        after = torch.cat([one, x[..., 1:].flip(-1).cumprod(-1)], -1).flip(-1)
        error = x.prod(-1) - self.product
        return 0.5 * error.square(), error[..., None] * before * after

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def solved(
        self, x: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor | None, data: Tree
    ) -> torch.Tensor:
        """Compare the loss with the height of the saddles: that of the start is huge."""
        return self.loss(x, data) <= self.card.target * self.product**2 / 2

    @property
    def solved_when(self) -> str:
        return f"loss at most {self.card.target:g} of the height of the saddles"

    def minimizers(self, data: Tree) -> torch.Tensor:
        """Return the one with equal weights, where the valley is widest, and an unequal one."""
        equal = data["signs"] * self.product ** (1 / self.dim)
        factor = torch.ones_like(equal)
        factor[0], factor[1] = 2.0, 0.5
        return torch.stack([equal, factor * equal])

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        height, two_zeros = self.product**2 / 2, data["signs"].clone()
        two_zeros[:2] = 0
        lowest, skew = self.minimizers(data)
        flat = (1, 0) if self.dim == 2 else (0, self.dim)
        return (
            CriticalPoint(lowest, 0.0, 0, self.dim - 1),
            CriticalPoint(skew, 0.0, 0, self.dim - 1),
            CriticalPoint(torch.zeros_like(skew), height, *flat),
            CriticalPoint(two_zeros, height, 1, self.dim - 2),
        )

    def signature(self, data: Tree) -> float:
        near, far = (
            self.value_and_gradient(scale * data["start"], data)[1].norm() for scale in (1, 2)
        )
        return (far / near).item()
