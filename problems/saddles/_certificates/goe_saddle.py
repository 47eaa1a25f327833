"""The evidence for `goe_saddle`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.portrait import Curves
from problems.saddles._certificates.walled_form import share_in_minima
from problems.saddles.goe_saddle import GoeSaddle

SAMPLES = 200_000
EXACT = {1: 1 / 2, 2: (2 - math.sqrt(2)) / 4, 3: (math.pi - 2 * math.sqrt(2)) / (4 * math.pi)}
DECAY = math.log(3) / 4
NODES = 200  # of Gauss and Legendre's rule: many more than the integrands' 40 oscillations need


def share_of_minima(dim: int) -> float:
    """Return the probability that no eigenvalue is negative, by a Pfaffian; to nine digits for dim up to 30.

    Their density is |Δ(x)| Π w(x_i)/Z, with Vandermonde's determinant Δ and w = e^(−x²/2) in the unit √2. The
    integral of a determinant of functions φ_j over x₁ < … < x_n is the Pfaffian of ∬ sgn(y − x) φ_j(x) φ_k(y),
    bordered by ∫ φ_j where n is odd (de Bruijn 1955); Z is Mehta's integral. The φ_j are the
    polynomials for which the φ_j w are orthonormal: powers of x would lose all digits.
    """
    import numpy as np
    from numpy.polynomial import legendre

    nodes, weights = legendre.leggauss(NODES)
    values = legendre.legvander(nodes, NODES)
    degrees = np.arange(NODES)
    primitives = np.hstack(
        [nodes[:, None] + 1, (values[:, 2:] - values[:, :-2]) / (2 * degrees[1:] + 1)]
    )
    up_to = primitives @ (values[:, :-1] * weights[:, None] * (2 * degrees + 1) / 2).T

    half = math.sqrt(dim) + 3  # beyond twice this the weight is below rounding
    weights *= half
    points = half * (nodes + 1)
    function = np.exp(-(points**2) / 2) * np.sqrt(weights)
    basis, powers, leading = np.empty((NODES, 0)), 0.0, 0.0
    for _ in range(dim):
        for _ in range(2):  # once leaves rounding
            function = function - basis @ (basis.T @ function)
        norm = np.linalg.norm(function)
        powers -= math.log(norm)  # of the leading coefficient of this φ
        leading += powers
        basis = np.column_stack([basis, function / norm])
        function = points * basis[:, -1]

    weighted = basis / np.sqrt(weights)[:, None]  # φ_j w at the nodes
    below = weighted.T @ (weights[:, None] * (half * up_to @ weighted))
    skew = below.T - below
    if dim % 2:
        border = weighted.T @ weights
        skew = np.block([[skew, border[:, None]], [-border[None], np.zeros((1, 1))]])
    pfaffian = np.linalg.slogdet(skew)[1] / 2
    mehta = dim / 2 * math.log(2 * math.pi) + sum(
        math.lgamma(1 + j / 2) - math.lgamma(1.5) for j in range(1, dim + 1)
    )
    return math.exp(math.lgamma(dim + 1) + pfaffian - leading - mehta)


def _standard_errors(share: float) -> tuple[float, float]:
    """Return the range of three standard errors around the share of `SAMPLES`."""
    return about(share, abs=3 * math.sqrt(share * (1 - share) / SAMPLES))


def sampled_share(problem: GoeSaddle, dim: int) -> float:
    """Return the share of `SAMPLES` matrices in this dimension without a negative eigenvalue."""
    matrices = replace(problem, dim=dim).matrices(SAMPLES, torch.Generator().manual_seed(0))
    return (torch.linalg.cholesky_ex(matrices).info == 0).double().mean().item()


def portrait(problem: GoeSaddle) -> Curves:
    dims = torch.arange(1, 21)
    few = dims[:4]
    exact = torch.tensor([share_of_minima(dim) for dim in dims.tolist()]).log()
    sampled = torch.tensor([sampled_share(problem, dim) for dim in few.tolist()]).log()
    return Curves(
        caption="Minima are rarer than coins say: their share of n-dimensional critical points falls like exp(−0.27 "
        f"n²), not like 2⁻ⁿ. Measured: {SAMPLES:,} matrices.",
        x_label="dimension n",
        y_label="−ln(share of minima) / n²",
        lines={
            "random symmetric matrix": (dims, -exact / dims.square()),
            "its limit, (ln 3)/4": (dims, torch.full((20,), DECAY)),
            "independent coins": (dims, math.log(2) / dims),
        },
        dots={"random symmetric matrix": (few, -sampled / few.square())},
    )


@claim(
    GoeSaddle,
    "share of the centres that are minima in 1 dimension",
    stated=EXACT[1],
    within=_standard_errors(EXACT[1]),
    source="a Gaussian is positive",
)
def minima_in_1_dimension(problem: GoeSaddle) -> float:
    return sampled_share(problem, 1)


@claim(
    GoeSaddle,
    "share of the centres that are minima in 2 dimensions",
    stated=EXACT[2],
    within=_standard_errors(EXACT[2]),
    source="Dean & Majumdar 2006: (2 − √2)/4",
)
def minima_in_2_dimensions(problem: GoeSaddle) -> float:
    return sampled_share(problem, 2)


@claim(
    GoeSaddle,
    "share of the centres that are minima in 3 dimensions",
    stated=EXACT[3],
    within=_standard_errors(EXACT[3]),
    source="Dean & Majumdar 2006: (π − 2√2)/4π",
)
def minima_in_3_dimensions(problem: GoeSaddle) -> float:
    return sampled_share(problem, 3)


@claim(
    GoeSaddle,
    "share of the centres that are minima in 4 dimensions, by the Pfaffian",
    stated="what sampling finds",
    within=about(0.002456, abs=3 * 3.5e-5),  # 2e6 matrices: three standard errors
    source="sampled",
    formula=True,
)
def minima_in_4_dimensions(problem: GoeSaddle) -> float:
    return share_of_minima(4)


@claim(
    GoeSaddle,
    "−ln(share of minima) per dim², in the end",
    stated=DECAY,
    within=about(DECAY, abs=1e-4),  # a factor dim^-a of the share takes a/800 of it; a is near 1/24
    source="Dean & Majumdar 2006: (ln 3)/4",
    formula=True,
)
def decay(problem: GoeSaddle) -> float:
    """Return the second difference of −ln(share) at dim 18, 20 and 22, over 8.

    The share falls like e^(−c dim²), c = (ln 3)/4. The second difference of c dim² in steps of 2 is 8c, and that of a
    term linear in dim is 0.
    """
    before, here, after = (-math.log(share_of_minima(dim)) for dim in (18, 20, 22))
    return (before - 2 * here + after) / 8


@claim(
    GoeSaddle,
    "share of Newton's runs that end in a minimum, in 2 dimensions",
    stated=EXACT[2],
    within=about(EXACT[2], abs=3 * math.sqrt(0.146447 * 0.853553 / 300)),
    source="Newton's method ends at the centre, whatever it is",
)
def newton_share(problem: GoeSaddle) -> float:
    """Run it on 300 instances; the range is three standard errors."""
    return share_in_minima(replace(problem, dim=2), 300, steps=12)
