"""The evidence for `mexican_hat`: claims and portrait."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import torch

from problems.claims import about, claim
from problems.portrait import Plane
from problems.saddles.mexican_hat import BOUNDARY, MexicanHat
from problems.saddles.newton_iteration import end_of_newton, newton_iteration


def portrait(problem: MexicanHat) -> Plane:
    data = problem.example()
    aside = torch.linalg.svd(data["direction"][None]).Vh[1]
    return Plane(
        caption="Newton's method steps over the top and climbs back to it; the others go down to the brim, the white "
        "ring.",
        window=((-1.4, 1.4), (-1.4, 1.4)),
        paths=(
            ("newton", {"lr": 1.0}),
            ("sgd", {"lr": 0.1}),
            ("saddle_free_newton", {"lr": 1.0, "damping": 0.1}),
        ),
        steps=60,
        start=data["center"] + 0.4 * data["direction"],
        origin=data["center"],
        axes=torch.stack([data["direction"], aside]),
        x_label="along the start's direction",
        y_label="across",
    )


@claim(
    MexicanHat,
    "distance from the top below which a step of Newton's method leads nearer to it",
    stated=BOUNDARY,
    within=about(BOUNDARY, abs=1e-12),  # bisected to rounding
    source="2r³/(1 − 3r²) = r",
)
def boundary(problem: MexicanHat) -> float:
    low, high = 0.4, 0.5
    for _ in range(45):
        middle = (low + high) / 2
        low, high = (middle, high) if newton_step(problem, middle) < middle else (low, middle)
    return low


@claim(
    MexicanHat,
    "share of the starts with r₀ uniform in [0, 1] that lead Newton's method to the top",
    stated=BOUNDARY,
    within=about(BOUNDARY, abs=1e-4),  # two of the 20,000 starts, which escape slowly
    source="from beyond 1/√5 |2r³/(3r² − 1)| > r, until r > 1/√3",
)
def newton_share(problem: MexicanHat) -> float:
    """Run it from 20,000 evenly spaced starts on a line."""
    problem = replace(problem, dim=1)
    x = (torch.arange(20_000.0) + 0.5).unsqueeze(-1) / 20_000
    data = {"center": torch.zeros(1)}
    ends = next(islice(newton_iteration(problem, data, x), 25, None))
    return (ends.abs() < 0.1).double().mean().item()


@claim(
    MexicanHat,
    "share of the starts with r₀ uniform in [0, 1] that lead saddle-free Newton to the top",
    stated=0.0,
    within=(0.0, 0.0),
    source="Dauphin et al. 2014: r + r(1 − r²)/(1 − 3r²) > 2r",
)
def saddle_free_share(problem: MexicanHat) -> float:
    """Run x ← x − |H|⁻¹ g from 1000 starts, in the problem's dimension."""
    data = problem.example()
    radii = (torch.arange(1000.0) + 0.5).unsqueeze(-1) / 1000
    x = data["center"] + radii * data["direction"]
    for _ in range(40):
        curvatures, basis = torch.linalg.eigh(problem.hessian(x, data))
        gradient = problem.value_and_gradient(x, data)[1]
        along = torch.einsum("...ij,...i->...j", basis, gradient)
        along = torch.where(along.abs() > 1e-12, along / curvatures.abs(), 0.0)
        x = x - torch.einsum("...ij,...j->...i", basis, along)
    return ((x - data["center"]).norm(dim=-1) < 0.5).double().mean().item()


@claim(
    MexicanHat,
    "rate at which descent leaves the top, over lr·r₀",
    stated=1.0,
    within=about(1.0, abs=1e-4),  # r₀² = 1e-6 of it bends
    source="the curvature at the top is −1",
)
def escape_rate(problem: MexicanHat) -> float:
    """Return −g·y/|y|² at r₀ = 1e-3: what one step gains, over lr·r₀."""
    data = replace(problem, radius=1e-3).example()
    gradient = problem.value_and_gradient(data["start"], data)[1]
    return -(gradient @ data["direction"]).item() / 1e-3


def newton_step(problem: MexicanHat, radius: float) -> float:
    """Return how far from the top a step of Newton's method from this radius ends."""
    data = replace(problem, radius=radius).example()
    end = end_of_newton(problem, data, steps=1)
    return (end - data["center"]).norm().item()
