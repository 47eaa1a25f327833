"""The evidence for `coin_toss`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import takewhile

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.geometry import random_rotation
from problems.portrait import Plane
from problems.saddles._certificates.walled_form import many, share_in_minima
from problems.saddles.coin_toss import CoinToss


def portrait(problem: CoinToss) -> Plane:
    data = problem.example()
    length = math.sqrt((1 + problem.gap) / problem.wall)
    axes = data["basis"][:, :2].T
    return Plane(
        caption="From inside a round valley Newton's method ends on the saddle in its middle. The others go down to "
        "the valley, whose two deepest points, left and right, differ little from the rest.",
        window=((-1.3 * length, 1.3 * length), (-1.3 * length, 1.3 * length)),
        paths=(
            ("newton", {"lr": 1.0}),
            ("sgd", {"lr": 0.3}),
            ("saddle_free_newton", {"lr": 0.5, "damping": 0.05}),
        ),
        start=data["center"] + length * (0.2 * axes[0] + 0.35 * axes[1]),
        origin=data["center"],
        axes=axes,
        x_label="most negative curvature",
        y_label="next one",
    )


@claim(
    CoinToss,
    "share of Newton's runs that end in a minimum, in 3 dimensions",
    stated=1 / 8,
    within=about(1 / 8, abs=3 * math.sqrt(7 / 64 / 600)),  # three standard errors
    source="Goodfellow, Bengio & Courville 2016, section 8.2.3: heads n times in a row",
)
def newton_share(problem: CoinToss) -> float:
    """Run it on 600 instances."""
    return share_in_minima(replace(problem, dim=3), 600, steps=10)


@claim(
    CoinToss,
    "variance of the number of directions down at the centre, over dim",
    stated=1 / 4,
    within=about(1 / 4, abs=3 * 0.25 * math.sqrt(2 / 600)),  # three standard errors
    source="derived: binomial, for the signs of the curvatures are independent",
)
def variance_of_the_index(problem: CoinToss) -> float:
    """Measure it over 600 instances in 10 dimensions."""
    curvatures = many(replace(problem, dim=10), 600)["curvatures"]
    return ((curvatures < 0).sum(-1).double().var() / 10).item()


@claim(
    CoinToss,
    "largest gradient at the stated critical points of λ = (−2, −1, −½, 0.3, 1, 2), q "
    "= 0.01, or error of their heights −100, −25 and −6.25",
    stated=0.0,
    within=(0.0, 1e-12),  # heights of 100, summed in float64
    source="H y = −q|y|² y: y is an eigenvector",
)
def error_of_the_critical_points(problem: CoinToss) -> float:
    problem = replace(problem, dim=6, wall=0.01)
    curvatures = torch.tensor([-2.0, -1.0, -0.5, 0.3, 1.0, 2.0])
    generator = torch.Generator().manual_seed(0)
    data = problem.start_near(curvatures, random_rotation(6, generator), generator)
    points = torch.stack([point.x for point in problem.critical_points(data)])
    values, gradients = problem.value_and_gradient(points, data)
    heights = torch.tensor([0.0, -100, -100, -25, -25, -6.25, -6.25])
    return max(gradients.norm(dim=-1).max().item(), (values - heights).abs().max().item())


@claim(
    CoinToss,
    "factor by which a tenth of the gap multiplies the steps that shrink the distance "
    "to the minimum by ten",
    stated=10.0,
    within=about(10.0, rel=0.05),  # the valley bends over the distances that are measured
    source="a power iteration: a step leaves 1 − lr·gap of the second mode",
)
def slowdown(problem: CoinToss) -> float:
    """Run descent at the rate 0.5 along the axis of the second mode, at gaps 0.006 and 0.06."""
    steps = []
    for gap in (0.006, 0.06):
        variant = replace(problem, gap=gap)
        data = variant.example()
        first, radius = variant.minimizers(data)[0], math.sqrt((1 + gap) / problem.wall)
        path = descent(variant, data, first + 0.1 * radius * data["basis"][:, 1], 0.5)
        near = (variant.distance(x, data) < 0.01 * radius for x in path)
        steps.append(sum(1 for _ in takewhile(lambda there: not there, near)))
    return steps[0] / steps[1]
