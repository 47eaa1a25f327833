"""The evidence for `griewank`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.local_minima._certificates import multimodal
from problems.local_minima._certificates.multimodal import first_trap, share_solved
from problems.local_minima.griewank import Griewank
from problems.portrait import Curves

FIRST = 4.493409457909064  # the smallest positive root of tan u = u
SINGLE = math.sqrt(1 + FIRST**2) / 2000  # r up to which there is one critical point


@claim(
    Griewank,
    "The first trap appears at this ripple, on the axis of z₁",
    stated=SINGLE,
    within=about(SINGLE, rel=1e-4),
    source="1/2000 = r max(−sin s / s)",
)
def first_traps(problem: Griewank) -> float:
    return first_trap(problem, torch.linspace(0, 20, 20001)[1:, None] * torch.eye(problem.dim)[0])


@claim(
    Griewank,
    "Of random points so many have a slope outwards below what the bound allows, at r = 1",
    stated=0,
    within=(0, 0),
    source="z·∇f ≥ Σ zᵢ² (1/2000 − 0.2172 r/i)",
)
def below_the_bound(problem: Griewank) -> float:
    """Count over 100,000 points, half of them within a period of m, where the bound is nearly attained.

    A product of cosines is the mean of cos s over all s = ±z₁ ± z₂/√2 ± …, and −sin s / s is at most
    0.2172, where tan s = s.
    """
    variant, data = replace(problem, ripple=1.0), problem.example()
    z = torch.randn(100_000, problem.dim, generator=torch.Generator().manual_seed(0))
    z = torch.cat([3 * z[:50_000], 100 * z[50_000:]])
    x = problem.place(z, data)
    slope = (variant.value_and_gradient(x, data)[1] * (x - data["minimizer"])).sum(-1)
    each = 1 / 2000 - 1 / (math.sqrt(1 + FIRST**2) * torch.arange(1, problem.dim + 1))
    return (slope < (z.square() * each).sum(-1) - 1e-9).sum().item()


@claim(
    Griewank,
    "At r = 1 the minima next to the best are this high",
    stated=0.007396,
    within=about(0.007396, abs=1e-6),
    source="computed; two flipped signs cancel in the product, near (π, √2 π)",
)
def next_best(problem: Griewank) -> float:
    variant, data = replace(problem, ripple=1.0), problem.example()
    z = torch.zeros(problem.dim)
    z[:2] = torch.tensor([math.pi, math.sqrt(2) * math.pi])
    *_, end = islice(descent(variant, data, problem.place(z, data), 0.5), 200)
    return variant.loss(end, data).item()


@claim(
    Griewank,
    "In 20 dimensions descent in small steps solves this share of the starts, r = 1, and in 5 none",
    stated=0.29,
    within=about(0.29, abs=0.14),
    source="computed here; that the function gets easier: Locatelli 2003",
    slow=True,
)
def share_in_twenty_dimensions(problem: Griewank) -> float:
    """Return the share; infinity if any start is solved in 5 dimensions.

    Stated is what 300 other starts gave; the range is three standard errors of 100. The rate is half of
    the largest stable one, and the run is 7 time constants long.
    """
    many, few = (replace(problem, ripple=1.0, dim=dim) for dim in (20, 5))
    if share_solved(few, 100, 1.0, 15_000) > 0:
        return math.inf
    return share_solved(many, 100, 1.0, 15_000)


def portrait(problem: Griewank) -> Curves:
    return replace(
        multimodal.portrait(problem),
        caption="A very wide bowl with a fine ripple, the middle twentieth of a line through the minimizer: the "
        "ripple wins near the minimum, where the bowl is flat.",
    )
