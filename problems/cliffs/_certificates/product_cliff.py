"""The evidence for `product_cliff`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.cliffs.product_cliff import ProductCliff
from problems.portrait import Plane


def _curvatures(problem: ProductCliff, weights: torch.Tensor) -> torch.Tensor:
    return torch.linalg.eigvalsh(problem.hessian(weights, {}))


@claim(
    ProductCliff,
    "an entry of the gradient where 10 weights are all 2",
    stated=523776,
    within=about(523776, rel=1e-12),  # rounding
    source="(aⁿ − c) aⁿ⁻¹ = 1023 · 512",
)
def gradient_on_diagonal(problem: ProductCliff) -> float:
    problem = replace(problem, dim=10)
    return problem.value_and_gradient(torch.full((10,), 2.0), {})[1].max().item()


@claim(
    ProductCliff,
    "the largest curvature where 10 weights are all 2",
    stated=4978432,
    within=about(4978432, rel=1e-12),
    source="n a^(2n − 2) + (n − 1)(aⁿ − c) a^(n − 2)",
)
def largest_curvature(problem: ProductCliff) -> float:
    return _curvatures(replace(problem, dim=10), torch.full((10,), 2.0))[-1].item()


@claim(
    ProductCliff,
    "the other nine curvatures there, all negative",
    stated=-261888,
    within=about(-261888, rel=1e-9),  # eigvalsh's rounding is that of the largest
    source="−(aⁿ − c) a^(n − 2)",
)
def smallest_curvature(problem: ProductCliff) -> float:
    return _curvatures(replace(problem, dim=10), torch.full((10,), 2.0))[:9].mean().item()


@claim(
    ProductCliff,
    "times that the gradient doubles where the weights do, from 2 to 4, n = 10",
    stated="2n − 1 = 19",
    within=about(19, abs=0.01),  # 19 + log₂((1 − 4⁻ⁿ)/(1 − 2⁻ⁿ)) = 19.0014: c is not yet nothing
    source="(aⁿ − c) aⁿ⁻¹",
)
def doublings(problem: ProductCliff) -> float:
    problem = replace(problem, dim=10)
    near, far = (
        problem.value_and_gradient(torch.full((10,), size), {})[1].norm() for size in (2.0, 4.0)
    )
    return (far / near).log2().item()


@claim(
    ProductCliff,
    "the one curvature at the minimum (2, ½, 1, …), n = 10; it is 10 at (1, 1, …)",
    stated=12.25,
    within=about(12.25, rel=1e-12),
    source="Σ (c/wᵢ)²",
)
def sharpness_along_the_valley(problem: ProductCliff) -> float:
    weights = torch.ones(10)
    weights[0], weights[1] = 2.0, 0.5
    return _curvatures(replace(problem, dim=10), weights)[-1].item()


@claim(
    ProductCliff,
    "directions without curvature at that minimum",
    stated=9,
    within=(9, 9),
    source="the Hessian is v vᵀ where f = 0",
)
def nullity(problem: ProductCliff) -> float:
    weights = torch.ones(10)
    weights[0], weights[1] = 2.0, 0.5
    curvatures = _curvatures(replace(problem, dim=10), weights)
    return float((curvatures.abs() < 1e-12 * curvatures[-1]).sum())


@claim(
    ProductCliff,
    "the loss, over the saddle's, after a step at the rate 1.9/523776 from (2, 2, …) and 1000 more",
    stated="1: the first step leads to (0.1, 0.1, …), and nothing leads away",
    within=about(1, abs=1e-6),  # at |wᵢ| = 0.1 the gradient is 1e-9, and the rate 4e-6
    source="all derivatives up to the (n − 1)-th vanish at 0",
)
def thrown_to_the_saddle(problem: ProductCliff) -> float:
    variant = replace(problem, dim=10)
    x = torch.full((10,), 2.0)
    x = x - 1.9 / 523776 * variant.value_and_gradient(x, {})[1]
    for _ in range(1000):
        x = x - 1.9 / 523776 * variant.value_and_gradient(x, {})[1]
    return (variant.loss(x, {}) / (problem.product**2 / 2)).item()


@claim(
    ProductCliff,
    "the slowest clipped descent from 20 starts, n = 10, needs this many steps, at step lengths of at most 0.02",
    stated="at most √n · 2/0.02 = 316, and some in the valley",
    within=(100, 400),
    source="far out a clipped step has the same length wherever it is taken",
)
def clipped_steps(problem: ProductCliff) -> float:
    problem = replace(problem, dim=10)
    starts = [problem.example(seed)["start"] for seed in range(20)]
    x = torch.stack(starts)
    for step in range(1000):
        if problem.solved(x, x[..., 0], None, {}).all():
            return float(step)
        gradient = problem.value_and_gradient(x, {})[1]
        x = x - 0.02 * gradient * (1 / gradient.norm(dim=-1, keepdim=True)).clamp(max=1)
    return math.inf


def portrait(problem: ProductCliff) -> Plane:
    """Draw the plane in which the even and the odd weights are equal; descent stays in it."""
    even, odd = torch.zeros(2, problem.dim, dtype=torch.float64)
    even[::2], odd[1::2] = 1.0, 1.0
    start = 0.95 * problem.radius * even + 1.05 * problem.radius * odd
    slope = float(problem.value_and_gradient(start, {})[1].abs().max())
    return Plane(
        caption=f"{problem.dim} weights, the even and the odd ones alike: a step of gradient descent that is short "
        "enough for the cliff is none in the valley, a longer one is thrown onto the plateau around 0, and a clipped "
        "one walks down.",
        window=((-0.5, 1.2 * problem.radius), (-0.5, 1.2 * problem.radius)),
        paths=(
            ("sgd", {"lr": 0.9 * problem.radius / slope}),
            ("adam", {"lr": 0.02}),
            ("clipped_sgd", {"lr": 0.02, "threshold": 5.0}),
        ),
        steps=300,
        start=start,
        origin=torch.zeros(problem.dim, dtype=torch.float64),
        axes=torch.stack([even, odd]),
        x_label="even weights",
        y_label="odd weights",
    )
