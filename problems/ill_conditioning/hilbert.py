"""A polynomial fit in powers of t, whose condition number grows 34-fold with each power."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from math import comb
from typing import Literal, get_args

import torch

from problems.problem import Card, Tree, dial
from problems.quadratic_form import RootForm, gap_left_by_descent, gap_left_by_momentum
from problems.registry import register
from ravine import bounded

Basis = Literal["powers", "legendre"]

MOST = 12  # beyond it the condition number is above 1/ε, and float64 cannot tell H from singular


def hilbert_matrix(dim: int) -> list[list[Fraction]]:
    """Return H with entries 1/(i + j + 1) for i, j from 0: the integrals of t^i t^j from 0 to 1."""
    return [[Fraction(1, i + j + 1) for j in range(dim)] for i in range(dim)]


def _breaking_point(
    left: Callable[[torch.Tensor, int], float], problem: Hilbert, budget: float
) -> float:
    """Return half a power less than the fewest with which `budget` steps miss the target."""
    for dim in range(1, MOST + 1):
        if left(replace(problem, dim=dim).curvatures(), int(budget)) > problem.card.target:
            return dim - 0.5
    return math.inf


@register("hilbert")
@dataclass(frozen=True)
class Hilbert(RootForm):
    """Fitting a polynomial by its coefficients of 1, t, t², …, which all look alike.

    f(x) = ½ ∫ (p(t) − q(t))² dt from 0 to 1 = ½ (x − m)ᵀ H (x − m), H_ij = 1/(i + j − 1), where
    x and m hold the coefficients of p and q.

    The condition number is 19 for two powers, 1.6e4 for four, 1.6e13 for ten: descent's steps grow like
    e^(3.5 dim). The start is m + R⁻¹ z with Gaussian z and H = RᵀR, so that every mode counts alike
    in the gap. In Legendre's basis H is the identity.

    dim: how many powers, at most 12; those of fewer are those of more, cut.
    basis: "powers", or "legendre" for the same polynomials in Legendre's orthonormal basis.

    Hilbert 1894; Todd 1954, "The condition of the finite segments of the Hilbert matrix"; Deep
    Learning, section 8.2.1.
    """

    dim: int = dial(4, low=1, high=MOST)
    basis: Basis = bounded("powers", choices=get_args(Basis))

    card = Card(
        scale="linear",
        ladder=(2, 4, 10),
        target=1e-4,
        budget=1000,
        reference=("newton", {}),
        control={"basis": "legendre"},
        breaks=("sgd", "ill_conditioning"),
        signature="largest over smallest curvature at the start",
        threshold=10.0,
        truth="One critical point, the minimum 0 at m; the Hessian is Hilbert's matrix, whose inverse is "
        "integer, and whose condition number comes near 0.042 (1 + √2)^(4 dim)/√dim in the long run.",
        source="Hilbert 1894; Todd 1954",
        theory={
            "sgd": partial(_breaking_point, gap_left_by_descent),
            "momentum": partial(_breaking_point, gap_left_by_momentum),
        },
    )

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer, z = torch.randn(2, MOST, generator=generator)[:, : self.dim]
        root, inverse = self._roots()
        hessian = [[float(each) for each in row] for row in hilbert_matrix(self.dim)]
        return {
            "start": minimizer + inverse @ z,
            "minimizer": minimizer,
            "root": root,
            "hessian": root if self.basis == "legendre" else torch.tensor(hessian),
        }

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.outputs(x, data)

    def signature(self, data: Tree) -> float:
        """Return it from the singular values of R, the roots of the curvatures, to more digits."""
        scales = torch.linalg.svdvals(data["root"])
        return (scales[0] / scales[-1]).square().item()

    def curvatures(self) -> torch.Tensor:
        """Return the eigenvalues of H, from the smallest: (dim,)."""
        return torch.linalg.svdvals(self._roots()[0]).square().flip(0)

    def _roots(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return R and R⁻¹, both upper triangular, where RᵀR = H, from integers, in float64.

        Column k of R⁻¹ holds the coefficients of Legendre's polynomial of degree k on [0, 1], of
        integral 1 squared: √(2k+1) (−1)^(j+k) C(k, j) C(k+j, j). R has its integrals with t^j,
        √(2k+1) j!²/((j−k)! (j+k+1)!) = √(2k+1) C(j, k)/((j+k+1) C(j+k, k)).
        """
        n, double = range(self.dim), torch.float64
        if self.basis == "legendre":
            return torch.eye(self.dim, dtype=double), torch.eye(self.dim, dtype=double)
        norms = [math.sqrt(2 * k + 1) for k in n]
        root = [[norms[k] * comb(j, k) / ((j + k + 1) * comb(j + k, k)) for j in n] for k in n]
        inverse = [[(-1) ** (j + k) * norms[k] * comb(k, j) * comb(k + j, j) for k in n] for j in n]
        return torch.tensor(root, dtype=double), torch.tensor(inverse, dtype=double)
