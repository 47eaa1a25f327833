"""A product of many weights, whose gradient grows with nearly twice their number as its power."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from problems.claims import Claim, about
from problems.portrait import Plane
from problems.problem import Card, CriticalPoint, Problem, Tree
from problems.registry import register
from ravine import Refused, require

SPREAD = 0.1  # of the weights at the start, around the radius


@register("product_cliff")
@dataclass(frozen=True)
class ProductCliff(Problem):
    """Weights that are multiplied: far out a cliff, in the middle a saddle without any slope.

    f(w) = ½ (∏ wᵢ − c)², i = 1 … dim.

    Where all weights have the size a, each entry of the gradient is (aⁿ − c) aⁿ⁻¹: twice as far out it
    is 2²ⁿ⁻¹ times as large. A rate that is small enough for the start is hopeless in the valley, where
    the curvature is about n; a larger one throws w across it: to where the product has the wrong sign,
    or next to the origin, where all derivatives up to the (n − 1)-th vanish. Methods that divide by
    a memory of past gradients stand still for as long as that memory lasts.

    Starts have |wᵢ| within 10 % of the radius and random signs, an even number of them negative, so that
    the way to the minima crosses no saddle. Whoever is only that far from the valley as the start's own
    loss is high has gained nothing, so solved means f ≤ target · c²/2, the height of the saddles; the
    target is low because a surface, other than a point, is met by chance.

    dim: n; the cliff is aⁿ high.
    radius: a at the start.
    product: c.

    Goodfellow, Bengio & Courville 2016, section 8.2.4: cliffs come of several large weights that are
    multiplied.
    """

    dim: int = 6
    radius: float = 2.0
    product: float = 1.0

    card = Card(
        dial="dim",
        scale="log",
        ladder=(2, 6, 32),
        target=1e-8,
        budget=1000,
        reference=("clipped_sgd", {"lr": 0.02, "threshold": 1.0}),
        control={"dim": 2},
        signature="factor by which the gradient grows from the start to twice as far out",
        threshold=1e3,
        truth="The minimum is 0, on the manifold where the product is c; there the Hessian is v vᵀ, "
        "vᵢ = c/wᵢ: nullity n − 1, and Σ (c/wᵢ)² is the one curvature, at least n c^(2 − 2/n). All "
        "other critical points have two or more weights equal to 0, and the value c²/2: with two "
        "they are saddles of index 1 and nullity n − 2, with more the Hessian is 0.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.4",
    )

    def __post_init__(self) -> None:
        require("product_cliff", "dim", self.dim, low=2, whole=True)
        require("product_cliff", "radius", self.radius, low=0, open_low=True)
        require("product_cliff", "product", self.product, low=0, open_low=True)
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
        """Each entry is the error times the product of the others, from both sides: no weight divides."""
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
        """Against the height of the saddles: the start is so high that its own says nothing."""
        return self.loss(x, data) <= self.card.target * self.product**2 / 2

    def minimizers(self, data: Tree) -> torch.Tensor:
        """The one with equal weights, where the valley is widest, and one with an outlier."""
        equal = data["signs"] * self.product ** (1 / self.dim)
        factor = torch.ones(self.dim)
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
            CriticalPoint(torch.zeros(self.dim), height, *flat),
            CriticalPoint(two_zeros, height, 1, self.dim - 2),
        )

    def signature(self, data: Tree) -> float:
        near, far = (
            self.value_and_gradient(scale * data["start"], data)[1].norm() for scale in (1, 2)
        )
        return (far / near).item()

    def curvatures_on_diagonal(self, size: float) -> tuple[float, float]:
        """The Hessian's eigenvalues where all weights are a: along the diagonal, and all others.

        H = a^(2n − 2) 1 1ᵀ + (aⁿ − c) a^(n − 2) (1 1ᵀ − I).
        """
        n, across = self.dim, (size**self.dim - self.product) * size ** (self.dim - 2)
        return n * size ** (2 * n - 2) + (n - 1) * across, -across

    # What is known.

    def _curvatures(self, weights: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvalsh(self.hessian(weights, {}))

    @Claim(
        "an entry of the gradient where 10 weights are all 2",
        stated=523776,
        within=about(523776, rel=1e-12),  # rounding
        source="(aⁿ − c) aⁿ⁻¹ = 1023 · 512",
    )
    def gradient_on_diagonal(self) -> float:
        problem = replace(self, dim=10)
        return problem.value_and_gradient(torch.full((10,), 2.0), {})[1].max().item()

    @Claim(
        "the largest curvature where 10 weights are all 2",
        stated=4978432,
        within=about(4978432, rel=1e-12),
        source="n a^(2n − 2) + (n − 1)(aⁿ − c) a^(n − 2)",
    )
    def largest_curvature(self) -> float:
        return replace(self, dim=10)._curvatures(torch.full((10,), 2.0))[-1].item()

    @Claim(
        "the other nine curvatures there, all negative",
        stated=-261888,
        within=about(-261888, rel=1e-9),  # eigvalsh's rounding is that of the largest
        source="−(aⁿ − c) a^(n − 2)",
    )
    def smallest_curvature(self) -> float:
        return replace(self, dim=10)._curvatures(torch.full((10,), 2.0))[:9].mean().item()

    @Claim(
        "times that the gradient doubles where the weights do, from 2 to 4, n = 10",
        stated="2n − 1 = 19",
        within=about(
            19, abs=0.01
        ),  # 19 + log₂((1 − 4⁻ⁿ)/(1 − 2⁻ⁿ)) = 19.0014: c is not yet nothing
        source="(aⁿ − c) aⁿ⁻¹",
    )
    def doublings(self) -> float:
        problem = replace(self, dim=10)
        near, far = (
            problem.value_and_gradient(torch.full((10,), size), {})[1].norm() for size in (2.0, 4.0)
        )
        return (far / near).log2().item()

    @Claim(
        "the one curvature at the minimum (2, ½, 1, …), n = 10; it is 10 at (1, 1, …)",
        stated=12.25,
        within=about(12.25, rel=1e-12),
        source="Σ (c/wᵢ)²",
    )
    def sharpness_along_the_valley(self) -> float:
        weights = torch.ones(10)
        weights[0], weights[1] = 2.0, 0.5
        return replace(self, dim=10)._curvatures(weights)[-1].item()

    @Claim(
        "directions without curvature at that minimum",
        stated=9,
        within=(9, 9),
        source="the Hessian is v vᵀ where f = 0",
    )
    def nullity(self) -> float:
        weights = torch.ones(10)
        weights[0], weights[1] = 2.0, 0.5
        curvatures = replace(self, dim=10)._curvatures(weights)
        return float((curvatures.abs() < 1e-12 * curvatures[-1]).sum())

    @Claim(
        "the loss, over the saddle's, where a step of 2/523776 from (2, 2, …) ends, after 1000 more",
        stated="1: that step leads to the origin, or near it, and nothing leads away",
        within=about(1, abs=1e-6),  # at |wᵢ| = 0.1 the gradient is 1e-9, and the rate 4e-6
        source="all derivatives up to the (n − 1)-th vanish at 0",
    )
    def thrown_to_the_saddle(self) -> float:
        problem = replace(self, dim=10)
        x = torch.full((10,), 2.0)
        x = x - 1.9 / 523776 * problem.value_and_gradient(x, {})[1]
        for _ in range(1000):
            x = x - 1.9 / 523776 * problem.value_and_gradient(x, {})[1]
        return (problem.loss(x, {}) / (self.product**2 / 2)).item()

    @Claim(
        "the slowest clipped descent from 20 starts, n = 10, needs this many steps, at step lengths of at most 0.02",
        stated="at most √n · 2/0.02 = 316, and some in the valley",
        within=(100, 400),
        source="far out a clipped step has the same length wherever it is taken",
    )
    def clipped_steps(self) -> float:
        problem = replace(self, dim=10)
        starts = [problem.example(seed)["start"] for seed in range(20)]
        x = torch.stack(starts)
        for step in range(1000):
            if problem.solved(x, x[..., 0], None, {}).all():
                return float(step)
            gradient = problem.value_and_gradient(x, {})[1]
            x = x - 0.02 * gradient * (1 / gradient.norm(dim=-1, keepdim=True)).clamp(max=1)
        return math.inf

    def portrait(self) -> Plane:
        """The plane in which the even and the odd weights are equal; descent from within stays there."""
        even, odd = torch.zeros(2, self.dim, dtype=torch.float64)
        even[::2], odd[1::2] = 1.0, 1.0
        start = 0.95 * self.radius * even + 1.05 * self.radius * odd
        slope = float(self.value_and_gradient(start, {})[1].abs().max())
        return Plane(
            caption=f"{self.dim} weights, the even and the odd ones alike: a step of gradient descent "
            "that is short enough for the cliff is none in the valley, a longer one is thrown onto the "
            "plateau around 0, a clipped one walks down.",
            window=((-0.5, 1.2 * self.radius), (-0.5, 1.2 * self.radius)),
            paths=(
                ("sgd", {"lr": 0.9 * self.radius / slope}),
                ("adam", {"lr": 0.02}),
                ("clipped_sgd", {"lr": 0.02, "threshold": 5.0}),
            ),
            steps=300,
            start=start,
            origin=torch.zeros(self.dim, dtype=torch.float64),
            axes=torch.stack([even, odd]),
            x_label="even weights",
            y_label="odd weights",
        )
