"""The evidence for `ackley`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.local_minima._certificates import multimodal
from problems.local_minima._certificates.multimodal import first_trap
from problems.local_minima.ackley import Ackley
from problems.portrait import Curves

GOLDEN = (math.sqrt(5) - 1) / 2
STEEPEST = math.sqrt(GOLDEN) * math.exp(GOLDEN)  # the largest e^c √(1 − c²), at c = GOLDEN
SINGLE = 2 / (math.pi * math.e * STEEPEST)  # r below which there is one critical point in the box


@claim(
    Ackley,
    "On the box's diagonal the first trap appears at this ripple, where 0.1606 is the bound for all points",
    stated=0.1653,
    within=about(0.1653, rel=2e-3),
    source="4 e^(−ρ/5) = 2πr · 1.4585 at ρ = 5 − 0.144, where cos 2πρ = (√5 − 1)/2",
)
def first_traps(problem: Ackley) -> float:
    """Return the dial of the first trap on the diagonal, where all zᵢ = ρ.

    On a sphere of radius ρ√dim z·∇f = 4ρ e^(−ρ/5) + 2πr e^c mean(zᵢ sin 2πzᵢ), which is at least
    ρ (4 e^(−ρ/5) − 2πr max e^c √(1 − c²)) by Cauchy's inequality, used twice. On the diagonal both are
    equalities. The worst case, ρ = 5, is the corner, which has the wrong phase; the last right one is at
    ρ = 4.856. The funnel's slope moves the touching point by 2e-3.
    """
    return first_trap(problem, torch.linspace(0, 5, 50001)[1:, None].expand(-1, problem.dim))


@claim(
    Ackley,
    "Below the bound the loss rises everywhere in the box on the way out: the least slope, over that at r = 0",
    stated="at least 0.01",
    within=(0.01, 1.0),
    source="z·∇f ≥ ρ (4 e^(−ρ/5) − 2πr · 1.4585)",
)
def least_slope(problem: Ackley) -> float:
    """Return the least over 100,000 points of the box, and as many on its diagonal.

    At 0.99 of the bound, which leaves 0.01 of the slope in the worst case.
    """
    variant, funnel = replace(problem, ripple=0.99 * SINGLE), problem.control()
    data = problem.example()
    inside = 5 - 10 * torch.rand(100_000, problem.dim, generator=torch.Generator().manual_seed(0))
    diagonal = torch.linspace(0, 5, 100_001)[1:, None].expand(-1, problem.dim)
    x = problem.place(torch.cat([inside, diagonal]), data)
    slope, plain = (
        (each.value_and_gradient(x, data)[1] * (x - data["minimizer"])).sum(-1)
        for each in (variant, funnel)
    )
    return (slope / plain).min().item()


@claim(
    Ackley,
    "The slope beside the minimum",
    stated=4 / math.sqrt(5),
    within=about(4 / math.sqrt(5), rel=1e-4),
    source="20 (1 − e^(−ρ/5)) ≈ 4ρ",
)
def slope_of_the_tip(problem: Ackley) -> float:
    data = problem.example()
    x = data["minimizer"] + 1e-6 * data["basis"][:, 0]
    return problem.value_and_gradient(x, data)[1].norm().item()


def portrait(problem: Ackley) -> Curves:
    return replace(
        multimodal.portrait(problem),
        caption="A funnel with ripples of one height all over, along a line through the minimizer: the farther out, "
        "the more of them are traps, because the funnel gets flatter.",
    )
