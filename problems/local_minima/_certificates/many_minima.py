"""The evidence for `many_minima`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.local_minima.many_minima import ManyMinima, cost, find_minima
from problems.portrait import Curves


def portrait(problem: ManyMinima) -> Curves:
    x = torch.linspace(*problem.start_range(), 400, dtype=torch.float64)
    minima, _ = problem.stationary()
    return Curves(
        caption="Along one weight, on a logarithmic scale, each scale of the examples makes a minimum; of "
        f"{problem.dim} weights there are {problem.scales**problem.dim} combinations.",
        x_label="ln w",
        y_label="loss",
        lines={"loss along one weight": (x, cost(x, *problem.axis))},
        dots={"minima": (minima, cost(minima, *problem.axis))},
    )


@claim(
    ManyMinima,
    "minima found over m^d, of 2 to 5 scales 100 apart at y = 3/4, the largest deviation from 1",
    stated=0,
    within=(0, 0),
    source="Auer, Herbster & Warmuth 1996: (n/d)^d",
    formula=True,
)
def minima_over_prediction(problem: ManyMinima) -> float:
    found = [len(find_minima(scales, 100.0, 0.75)) / scales for scales in (2, 3, 4, 5)]
    return max(abs(each**problem.dim - 1) for each in found)


@claim(
    ManyMinima,
    "the lowest cost of three scales 1000 apart at y = 3/4",
    stated=0.1248625,
    within=about(0.1248625, abs=1e-7),  # its last digit
    source="Auer, Herbster & Warmuth 1996; (m − 1)/16 in the limit",
    formula=True,
)
def cost_at_three_quarters(problem: ManyMinima) -> float:
    return cost(find_minima(3, 1000.0, 0.75), 3, 1000.0, 0.75).min().item()


@claim(
    ManyMinima,
    "the spread of these three costs, which y = 3/4 balances",
    stated=1.375e-4,
    within=about(1.375e-4, abs=1e-7),  # the last digit of .1250000 less .1248625
    source="own computation; 0 in the limit",
    formula=True,
)
def spread_at_three_quarters(problem: ManyMinima) -> float:
    costs = cost(find_minima(3, 1000.0, 0.75), 3, 1000.0, 0.75)
    return (costs.max() - costs.min()).item()


@claim(
    ManyMinima,
    "the largest distance of the three costs at y = 0.9 from 0.3196, 0.1696 and 0.0200",
    stated=0,
    within=about(0, abs=5e-5),  # their last digit
    source="own computation; in the limit 0.32, 0.17 and 0.02: k (y − ½)² + (m − 1 − k)(1 − y)²",
    formula=True,
)
def costs_at_nine_tenths(problem: ManyMinima) -> float:
    costs = cost(find_minima(3, 1000.0, 0.9), 3, 1000.0, 0.9)
    if len(costs) != 3:
        return math.inf
    return (costs - torch.tensor([0.3196, 0.1696, 0.02])).abs().max().item()


@claim(
    ManyMinima,
    "minima of three scales 10 or 30 apart at y = 0.9: the scales must be separate",
    stated=1,
    within=(1, 1),
    source="own computation",
    formula=True,
)
def minima_of_near_scales(problem: ManyMinima) -> float:
    return max(len(find_minima(3, separation, 0.9)) for separation in (10.0, 30.0))


@claim(
    ManyMinima,
    "minima of three scales 10 apart at y = 3/4: how separate is separate depends on y",
    stated=3,
    within=(3, 3),
    source="own computation",
    formula=True,
)
def minima_of_near_scales_at_three_quarters(problem: ManyMinima) -> float:
    return len(find_minima(3, 10.0, 0.75))


@claim(
    ManyMinima,
    "share of 10,000 descents on two axes that end in the global minimum, over m^-d",
    stated=1,
    within=about(1, abs=0.052),  # three standard errors of 10,000 runs and a share of ¼
    source="derived: the basins are equally wide on a logarithmic scale",
)
def share_over_prediction(problem: ManyMinima) -> float:
    variant = replace(problem, dim=2)
    data = variant.example()
    low, high = variant.start_range()
    places = torch.rand(10_000, 2, generator=torch.Generator().manual_seed(0))
    starts = data["shift"] + low + (high - low) * places
    ends = next(islice(descent(variant, data, starts, 5.0), 200, None))
    found = variant.distance(ends, data) < 1.0
    return found.double().mean().item() * problem.scales**2
