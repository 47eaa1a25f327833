"""The evidence for `styblinski_tang`: claims and portrait."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import torch

from problems.claims import about, claim
from problems.local_minima._certificates.multimodal import share_solved
from problems.local_minima.styblinski_tang import StyblinskiTang
from problems.portrait import Curves


def portrait(problem: StyblinskiTang) -> Curves:
    dims = (1, 2, 3, 4, 5, 6)
    shares = [
        share_solved(replace(problem, dim=dim), count=2000, lr=0.007, steps=100) for dim in dims
    ]
    predicted = [replace(problem, dim=dim).predicted_share() for dim in dims]
    return Curves(
        caption="The share of random starts from which gradient descent finds the best of 2ⁿ minima is the share of "
        "the volume that its basin has, and halves with every dimension.",
        x_label="dimension n",
        y_label="share of starts that end in the best minimum",
        lines={"": (torch.tensor(dims), torch.tensor(predicted))},
        dots={"": (torch.tensor(dims), torch.tensor(shares))},
        y_scale="log",
    )


@claim(
    StyblinskiTang,
    "In one dimension the minimum, the maximum and the other minimum are −39.166166, 0.195612 and "
    "−25.029447, but for so much",
    stated=0.0,
    within=(0.0, 1e-6),
    source="Newton's method, six digits",
)
def error_of_the_heights(problem: StyblinskiTang) -> float:
    """Return the largest of three differences."""
    problem = replace(problem, dim=1)
    found = problem.loss(_found(problem), problem.example()).sort().values
    return (found - torch.tensor([-39.166166, -25.029447, 0.195612])).abs().max().item()


@claim(
    StyblinskiTang,
    "So many critical points exist in three dimensions",
    stated=27,
    within=(27, 27),
    source="3^n",
)
def critical_in_three_dimensions(problem: StyblinskiTang) -> float:
    """Count what Newton's method finds from a grid."""
    return len(_found(replace(problem, dim=3)))


@claim(
    StyblinskiTang,
    "So many of those have index 1",
    stated=12,
    within=(12, 12),
    source="C(3, 1) 2²",
)
def of_index_one(problem: StyblinskiTang) -> float:
    return (_indices(replace(problem, dim=3)) == 1).sum().item()


@claim(
    StyblinskiTang,
    "Of the critical points this share are minima, in three dimensions",
    stated=8 / 27,
    within=about(8 / 27, abs=1e-12),
    source="(2/3)^n",
)
def share_of_minima(problem: StyblinskiTang) -> float:
    return (_indices(replace(problem, dim=3)) == 0).double().mean().item()


@claim(
    StyblinskiTang,
    "From uniform starts gradient descent finds the minimum this often, in three dimensions",
    stated=0.13713,
    within=about(0.13713, abs=0.0163),
    source="((5 + 0.156731)/10)³, the basin's share of the box; three standard errors of 4000 starts",
)
def share_of_descent(problem: StyblinskiTang) -> float:
    """Take steps of 0.007, below 1/134, one over the largest curvature in the box: none crosses a wall."""
    return share_solved(replace(problem, dim=3), count=4000, lr=0.007, steps=100)


def _found(problem: StyblinskiTang) -> torch.Tensor:
    """Return all critical points that Newton's method finds from a grid, each once: (found, dim)."""
    data = problem.example()
    grid = torch.tensor(list(product((-4.0, -2.5, 0.0, 0.3, 2.5, 4.0), repeat=problem.dim)))
    x = problem.place(grid, data)
    for _ in range(20):
        gradient = problem.value_and_gradient(x, data)[1]
        x = x - torch.linalg.solve(problem.hessian(x, data), gradient)
    z = problem.coordinates(x, data)
    return problem.place((z * 1e6).round().unique(dim=0) / 1e6, data)


def _indices(problem: StyblinskiTang) -> torch.Tensor:
    """Return how many curvatures are negative at each of them: (found,)."""
    curvatures = torch.linalg.eigvalsh(problem.hessian(_found(problem), problem.example()))
    return (curvatures < 0).sum(-1)
