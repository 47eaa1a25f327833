"""The evidence for `linear_autoencoder`: claims and portrait."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.portrait import Curves
from problems.saddles.linear_autoencoder import SCALE, LinearAutoencoder


@claim(
    LinearAutoencoder,
    "critical points whose negative and zero curvatures are other ones than the formulas say, of "
    "all sets of components in three sizes",
    stated=0.0,
    within=(0.0, 0.0),
    source="Baldi & Hornik 1989; the formulas are derived here",
)
def wrong_indices(problem: LinearAutoencoder) -> float:
    """Compare eigenvalues of the Hessian with the formulas; those that are not 0 are at least 0.002 in size.

    Around A = Bᵀ = (qᵢ), the weights a of unit i towards and b from a component j left out have
    the Hessian ((λᵢ, −λⱼ), (−λⱼ, λⱼ)), of determinant λⱼ(λᵢ − λⱼ); those of an idle unit
    ((0, −λⱼ), (−λⱼ, 0)) for each j left out, and 0 towards what is kept.
    """
    wrong = 0
    for inputs, code, gap in [(4, 2, 1 / 3), (5, 2, problem.gap), (6, 3, 0.5)]:
        variant = replace(problem, inputs=inputs, code=code, gap=gap)
        data = variant.example()
        for point in variant.critical_points(data):
            curvatures = torch.linalg.eigvalsh(variant.hessian(point.x, data))
            negative = (curvatures < -1e-9).sum().item()
            zero = (curvatures.abs() <= 1e-9).sum().item()
            wrong += (negative, zero) != (point.index, point.nullity)
    return float(wrong)


@claim(
    LinearAutoencoder,
    "the number of directions down at a critical point is correlated with the loss there",
    stated="above 0.9",
    within=(0.9, 1.0),
    source="measured, at the critical points of Baldi & Hornik 1989",
)
def correlation_of_index_and_loss(problem: LinearAutoencoder) -> float:
    points = problem.critical_points(problem.example())
    pairs = torch.tensor([(float(each.index), each.value) for each in points])
    return torch.corrcoef(pairs.T)[0, 1].item()


@claim(
    LinearAutoencoder,
    "the negative curvature of the lowest saddle, over the gap, for small gaps",
    stated=0.5,
    within=about(0.5, rel=0.01),
    source="derived",
)
def flatness_of_the_lowest_saddle(problem: LinearAutoencoder) -> float:
    """Measure it at the last rung: to leading order it is the determinant −(1 + gap)gap over the trace 2 + gap."""
    smallest = problem.at_dial(problem.card.ladder[-1])
    data = smallest.example()
    curvatures = torch.linalg.eigvalsh(smallest.hessian(smallest.lowest_saddle(data).x, data))
    return (-curvatures[0]).item() / smallest.gap


@claim(
    LinearAutoencoder,
    "of 1000 descents, so many end anywhere but in a global minimum",
    stated=0.0,
    within=(0.0, 0.0),
    source="Baldi & Hornik 1989",
    slow=True,
)
def bad_minima(problem: LinearAutoencoder) -> float:
    """Run 600 steps at a gap of 1, where they are enough to leave every saddle."""
    variant = replace(problem, gap=1.0)
    data = variant.example()
    generator = torch.Generator().manual_seed(1)
    x = SCALE * torch.randn(1000, len(data["start"]), generator=generator)
    end = next(islice(descent(variant, data, x, 0.1, 0.9), 600, None))
    height = variant.loss(x, data) - variant.floor(data)
    above = (variant.loss(end, data) - variant.floor(data)) / height
    return float((above > problem.card.target).sum())


def portrait(problem: LinearAutoencoder) -> Curves:
    points = problem.critical_points(problem.example())
    first = (*range(problem.code),)
    dots = {}
    for used in range(problem.code, -1, -1):
        those = [
            (point.value, point.index)
            for kept, point in zip(problem._sets(), points, strict=True)
            if len(kept) == used and kept != first
        ]
        name = f"{used} components kept"
        dots[name] = tuple(
            torch.tensor(each, dtype=torch.float64) for each in zip(*those, strict=True)
        )
    minimum = points[0]
    dots["the minimum"] = (torch.tensor([minimum.value]), torch.tensor([minimum.index]))
    return Curves(
        caption="All critical points of a linear autoencoder: the higher the loss, the more "
        "directions lead down, and beside the minimum there are only saddles.",
        x_label="loss",
        y_label="directions down",
        dots=dots,
    )
