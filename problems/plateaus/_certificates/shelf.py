"""The evidence for `shelf`: claims and portrait."""

from __future__ import annotations

from itertools import islice

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.plateaus.shelf import Shelf
from problems.portrait import Curves


def portrait(problem: Shelf) -> Curves:
    data = problem.example()
    z = torch.linspace(-1.5, 3 + problem.width, 401)
    paths = {}
    for name, momentum in (("gradient descent", 0.0), ("heavy ball", 0.9)):
        path = torch.stack([*islice(descent(problem, data, data["start"], 0.1, momentum), 300)])
        first = torch.einsum("...i,...ij->...j", path - data["minimizer"], data["basis"])[:, 0]
        paths[name] = first, problem.profile(first)
    return Curves(
        caption="One coordinate, 300 steps: gradient descent stops where the shelf begins; heavy ball coasts over it "
        "and falls into the bowl.",
        x_label="z₁",
        y_label="its part of the loss",
        lines={"loss": (z, problem.profile(z))},
        paths=paths,
    )


@claim(
    Shelf,
    "Of the points of the shelf this share has a gradient and a Hessian that are exactly zero",
    stated=1.0,
    within=(1.0, 1.0),
    source="φ is constant from 1 to 1 + w",
)
def share_that_is_flat(problem: Shelf) -> float:
    """Return the share of 1000 points, 1e-6 off the edges, for x is rounded."""
    data = problem.example()
    z = torch.rand(1000, problem.dim, generator=torch.Generator().manual_seed(0))
    x = problem.place(1 + 1e-6 + (problem.width - 2e-6) * z, data)
    moving = problem.value_and_gradient(x, data)[1].any(-1)
    return (~(moving | problem.hessian(x, data).flatten(-2).any(-1))).double().mean().item()


@claim(
    Shelf,
    "The loss on the shelf",
    stated=2.5,
    within=about(2.5, abs=1e-12),
    source="dim/2",
)
def height(problem: Shelf) -> float:
    data = problem.example()
    return problem.loss(problem.critical_points(data)[1].x, data).item()


@claim(
    Shelf,
    "Descent in small steps ends at least this high, in heights of the shelf",
    stated=1.0,
    within=(1.0, 1.1),
    source="the slope fades faster than any power towards the edge",
)
def where_descent_ends(problem: Shelf) -> float:
    """Return the height after 500 steps at a twentieth of the largest stable rate."""
    data = problem.example()
    *_, end = islice(descent(problem, data, data["start"], 0.1), 501)
    return (problem.loss(end, data) / height(problem)).item()


@claim(
    Shelf,
    "A heavy ball coasts lr · v β/(1 − β) over a shelf that is wide enough, but for this share",
    stated=0.0,
    within=(0.0, 1e-9),
    source="v ← β v where there is no gradient",
)
def error_of_coasting(problem: Shelf) -> float:
    """Return the error from the first point with a gradient of zero to the end, at lr = 0.02, β = 0.9."""
    wide = Shelf(dim=problem.dim, width=50.0)
    data, lr, momentum = wide.example(), 0.02, 0.9
    path = torch.stack([*islice(descent(wide, data, data["start"], lr, momentum), 500)])
    flat = (wide.value_and_gradient(path, data)[1] == 0).all(-1).nonzero()[0, 0]
    step = path[flat] - path[flat - 1]
    coasted = path[-1] - path[flat]
    return ((coasted - step * momentum / (1 - momentum)).norm() / coasted.norm()).item()
