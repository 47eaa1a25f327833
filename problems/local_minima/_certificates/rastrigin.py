"""The evidence for `rastrigin`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.local_minima._certificates import multimodal
from problems.local_minima._certificates.multimodal import first_trap, share_solved
from problems.local_minima.rastrigin import CONVEX, Rastrigin
from problems.portrait import Curves

FIRST = 4.493409457909064  # the smallest positive root of tan u = u
SINGLE = CONVEX * math.sqrt(1 + FIRST**2)  # the amplitude up to which no trap exists


@claim(
    Rastrigin,
    "The loss stops being convex at this amplitude",
    stated=CONVEX,
    within=about(CONVEX, rel=1e-3),
    source="φ'' = 2 + 4π²A cos 2πz",
)
def convex_up_to(problem: Rastrigin) -> float:
    low, high = 0.01, 1.0
    data = problem.example()
    x = problem.place(torch.linspace(0, 1, 2001)[:, None] * torch.eye(problem.dim)[0], data)
    for _ in range(20):
        middle = (low + high) / 2
        curvatures = torch.linalg.eigvalsh(problem.at_dial(middle).hessian(x, data))
        low, high = (low, middle) if (curvatures < 0).any() else (middle, high)
    return low


@claim(
    Rastrigin,
    "The first traps appear at this amplitude",
    stated=SINGLE,
    within=about(SINGLE, rel=1e-4),
    source="2π²A = √(1 + u²), tan u = u",
)
def first_traps(problem: Rastrigin) -> float:
    """Return the dial of the first trap on an axis, at a double root of z + πA sin 2πz.

    There u = 2πz has tan u = u, and 2π²A = −u/sin u = √(1 + u²); the k-th trap belongs to the k-th positive
    root with sin u < 0. The grid, 1e-4 wide, sees a trap a little late: by less than 1e-6.
    """
    return first_trap(problem, torch.linspace(0, 5, 50001)[1:, None] * torch.eye(problem.dim)[0])


@claim(
    Rastrigin,
    "Gradient descent in small steps breaks at that amplitude",
    stated=SINGLE,
    within=about(SINGLE, rel=0.05),
    source="a critical point is all it takes to stop a flow",
)
def descent_breaks(problem: Rastrigin) -> float:
    """Return the amplitude at which half of the starts are solved, to 0.004.

    Just below the threshold runs pass the place of the coming traps slowly: hence 5 %.
    """
    low, high = 0.2, 0.26
    for _ in range(3):
        middle = (low + high) / 2
        solved = share_solved(problem.at_dial(middle), count=30, lr=0.05, steps=300) > 0.5
        low, high = (middle, high) if solved else (low, middle)
    return (low + high) / 2


@claim(
    Rastrigin,
    "At the classical amplitude a line along a ripple's axis has so many minima",
    stated=63,
    within=(63, 63),
    source="the traps' condition at A = 10: 2π²A = 197.4, K = 31",
)
def minima_on_a_line(problem: Rastrigin) -> float:
    """Count changes of the slope's sign, on a grid of all |z| ≤ πA."""
    z = torch.linspace(-10 * math.pi, 10 * math.pi, 200001)
    z = z[:, None] * torch.eye(problem.dim)[0]
    lower = replace(problem, amplitude=10.0).landscape(z).diff() < 0
    return (lower[:-1] & ~lower[1:]).sum().item()


@claim(
    Rastrigin,
    "At the classical amplitude there are so many of them inside the box",
    stated=11,
    within=(11, 11),
    source="the traps' condition; Mühlenbein, Schomisch & Born 1991",
)
def minima_in_the_box(problem: Rastrigin) -> float:
    classical = replace(problem, amplitude=10.0)
    return classical.signature(classical.example())


@claim(
    Rastrigin,
    "Largest error of the first three, at 0.994959, 1.989912 and 2.984856, heights "
    "0.994959, 3.979831 and 8.954601",
    stated=0.0,
    within=(0.0, 1e-6),
    source="Newton's method on φ', six digits",
)
def error_of_the_first_three(problem: Rastrigin) -> float:
    """Return the largest of the six differences, by Newton's method from the whole numbers."""
    problem, data = replace(problem, amplitude=10.0, dim=1), replace(problem, dim=1).example()
    x = problem.place(torch.tensor([[1.0], [2.0], [3.0]]), data)
    for _ in range(10):
        gradient = problem.value_and_gradient(x, data)[1]
        x = x - gradient / problem.hessian(x, data)[..., 0]
    where, height = problem.coordinates(x, data)[:, 0], problem.loss(x, data)
    stated = torch.tensor([[0.994959, 1.989912, 2.984856], [0.994959, 3.979831, 8.954601]])
    return (torch.stack([where.abs(), height]) - stated).abs().max().item()


def portrait(problem: Rastrigin) -> Curves:
    return replace(
        multimodal.portrait(problem, slice(1000, 3001)),  # the middle half
        caption="A bowl with a regular ripple, along a line through the minimizer: it adds traps once it is as steep "
        "as the bowl, from an amplitude of 0.233 on, and first beside the minimum.",
    )
