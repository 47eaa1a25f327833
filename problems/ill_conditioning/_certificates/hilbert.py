"""The evidence for `hilbert`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from math import comb

import torch

from problems.claims import about, claim
from problems.ill_conditioning.hilbert import MOST, Hilbert, hilbert_matrix
from problems.portrait import Curves

GROWTH = (1 + math.sqrt(2)) ** 4  # of the condition number with the dimension, in the long run
SZEGO = 2**3.75 * math.pi**1.5 / GROWTH  # λmin at n + 1 powers comes near SZEGO √n / GROWTH^n


def hilbert_inverse(dim: int) -> list[list[int]]:
    """Return H⁻¹, which is integer: (−1)^(i+j) (i+j+1) C(n+i, n−j−1) C(n+j, n−i−1) C(i+j, i)²."""
    n = dim
    return [
        [
            (-1) ** (i + j)
            * (i + j + 1)
            * comb(n + i, n - j - 1)
            * comb(n + j, n - i - 1)
            * comb(i + j, i) ** 2
            for j in range(n)
        ]
        for i in range(n)
    ]


def hilbert_condition(dim: int) -> float:
    """Return λmax/λmin of H, from the largest eigenvalues of H and of its exact inverse, which lose no digits."""
    largest = (
        torch.linalg.eigvalsh(torch.tensor([[float(each) for each in row] for row in matrix]))[-1]
        for matrix in (hilbert_matrix(dim), hilbert_inverse(dim))
    )
    return math.prod(each.item() for each in largest)


@claim(
    Hilbert,
    "the largest relative deviation of the condition numbers for 2, 4, 6, 8 and 10 powers "
    "from 19.2815, 15513.7, 1.495e7, 1.526e10 and 1.602e13",
    stated=0.0,
    within=(0.0, 5e-4),  # the figures' digits
    source="Todd 1954; computed from the exact inverse",
    formula=True,
)
def condition_numbers(problem: Hilbert) -> float:
    stated = {2: 19.2815, 4: 15513.7, 6: 1.495e7, 8: 1.526e10, 10: 1.602e13}
    return max(abs(hilbert_condition(dim) / value - 1) for dim, value in stated.items())


@claim(
    Hilbert,
    "the condition number for 10 powers, over 1.595e13: its largest curvature, 1.7519, over the "
    "asymptotic law of the smallest",
    stated=1.0,
    within=about(1.0, rel=0.01),  # the law's next term is of the order 1/n
    source="Szegő 1936; Wilf 1970, Finite Sections of Some Classical Inequalities",
    formula=True,
)
def asymptotic_condition(problem: Hilbert) -> float:
    """Compare: λmin at n + 1 powers ~ 2^(15/4) π^(3/2) √n (1 + √2)^(−4(n+1)), and λmax = 1.7519 at 10 powers.

    λmax comes near its own limit π far more slowly: π over the law is 2.86e13, 1.8 times the condition number.
    """
    smallest = SZEGO * math.sqrt(9) * GROWTH**-9
    return hilbert_condition(10) / (1.7519 / smallest)


@claim(
    Hilbert,
    "the logarithm of the factor by which one more power, the twelfth, multiplies the condition",
    stated=3.5,
    within=about(3.5, abs=0.05),
    source="derived: 4 ln(1 + √2) = 3.525, less ½ ln(11/10) for the law's root",
    formula=True,
)
def growth_with_each_power(problem: Hilbert) -> float:
    return math.log(hilbert_condition(12) / hilbert_condition(11))


@claim(
    Hilbert,
    "the largest entry of H H⁻¹ − I in exact arithmetic, over all dimensions up to 12",
    stated=0.0,
    within=(0.0, 0.0),
    source="Savage & Lukacs 1954: the inverse is integer",
    formula=True,
)
def error_of_integer_inverse(problem: Hilbert) -> float:
    worst = Fraction(0)
    for dim in range(1, MOST + 1):
        matrix, inverse = hilbert_matrix(dim), hilbert_inverse(dim)
        for i in range(dim):
            for j in range(dim):
                entry = sum(matrix[i][k] * inverse[k][j] for k in range(dim))
                worst = max(worst, abs(entry - (i == j)))
    return float(worst)


@claim(
    Hilbert,
    "the steps that gradient descent needs for 3 powers over those for 2, by condition numbers",
    stated=1.0,
    within=about(1.0, rel=0.1),
    source="derived: ¼ κ ln(1/target) steps at the best rate",
)
def descents_steps(problem: Hilbert) -> float:
    """Count them from starts that hold all their gap in the slowest mode, to measure its rate alone.

    At 2/(λmax + λmin), the best rate, a step leaves (κ − 1)/(κ + 1) of the error, and the square of that, near
    e^(−4/κ), of the gap.
    """
    needed = {}
    for dim in (2, 3):
        variant = replace(problem, dim=dim)
        data = variant.example()
        curvatures, basis = torch.linalg.eigh(data["hessian"])
        x, lr = data["minimizer"] + basis[:, 0], 2 / (curvatures[-1] + curvatures[0])
        first = variant.loss(x, data)
        steps = 0
        while variant.loss(x, data) > problem.card.target * first:
            x = x - lr * variant.value_and_gradient(x, data)[1]
            steps += 1
        needed[dim] = steps
    return needed[3] / needed[2] / (hilbert_condition(3) / hilbert_condition(2))


def portrait(problem: Hilbert) -> Curves:
    dims = torch.arange(2, MOST + 1)
    conditions = torch.tensor([hilbert_condition(dim) for dim in dims.tolist()])
    n = dims - 1
    law = torch.pi * GROWTH ** n.double() / (SZEGO * n.sqrt())
    return Curves(
        caption="With each power the condition number grows 34-fold. Measured: from the exact inverse. Predicted: π "
        "over Szegő's law for the smallest curvature, which holds in the long run.",
        x_label="number of powers",
        y_label="condition number",
        dots={"": (dims, conditions)},
        lines={"": (dims, law)},
        y_scale="log",
    )
