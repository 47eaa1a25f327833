"""The evidence for `levy`: claims and portrait."""

from __future__ import annotations

from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.local_minima._certificates import multimodal
from problems.local_minima._certificates.multimodal import first_trap
from problems.local_minima.levy import Levy
from problems.portrait import Curves


@claim(
    Levy,
    "The first trap in the box appears at this ripple",
    stated=0.03529,
    within=about(0.03529, rel=1e-3),
    source="computed: v + r ∂ripples/∂v/2 on a grid of 5 million points",
)
def first_traps(problem: Levy) -> float:
    """Return the lowest threshold of the three kinds of terms, whose sum is separable."""
    ray = torch.cat([torch.linspace(-11, 0, 11001)[:-1], torch.linspace(0, 9, 9001)[1:]])
    axes = torch.eye(problem.dim)[[0, 1, -1]]
    return min(first_trap(problem, ray[:, None] * axis) for axis in axes)


@claim(
    Levy,
    "At r = 1 the box holds so many minima, in five dimensions",
    stated=8640,
    within=(8640, 8640),
    source="computed: 5, 6 and 8 along the axes of v₁, of v₂ to v₄, and of v₅",
)
def minima_in_the_box(problem: Levy) -> float:
    """Return the product of the numbers along the axes, for f is a sum over them."""
    problem = replace(problem, ripple=1.0, dim=5)
    line, count = problem.line()[:, 0], 1
    for axis in torch.eye(5):
        lower = problem.landscape(1 + (line[:, None] - 1) * axis).diff() < 0
        count *= (lower[:-1] & ~lower[1:]).sum().item()
    return count


def portrait(problem: Levy) -> Curves:
    return replace(
        multimodal.portrait(problem),
        caption="Waves that grow away from the minimizer, along a line through it: the traps are the deeper the "
        "farther out.",
    )
