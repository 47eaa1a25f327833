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

from problems.claims import Claim, about
from problems.ill_conditioning.quadratic import gap_left_by_descent, gap_left_by_momentum
from problems.portrait import Curves
from problems.problem import Card, Tree
from problems.quadratic_form import QuadraticForm
from problems.registry import register
from ravine import Refused, nearest, require

Basis = Literal["powers", "legendre"]

MOST = 12  # beyond it the condition number is above 1/ε, and float64 cannot tell H from singular
GROWTH = (1 + math.sqrt(2)) ** 4  # of the condition number with the dimension, in the long run
SZEGO = 2**3.75 * math.pi**1.5 / GROWTH  # λmin at n + 1 powers comes near SZEGO √n / GROWTH^n


def hilbert_matrix(dim: int) -> list[list[Fraction]]:
    """H with entries 1/(i + j + 1) for i, j from 0: the integrals of t^i t^j from 0 to 1."""
    return [[Fraction(1, i + j + 1) for j in range(dim)] for i in range(dim)]


def hilbert_inverse(dim: int) -> list[list[int]]:
    """H⁻¹, which is integer: (−1)^(i+j) (i+j+1) C(n+i, n−j−1) C(n+j, n−i−1) C(i+j, i)²."""
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
    """λmax/λmin of H, from the largest eigenvalues of H and of its exact inverse, which lose no digits."""
    largest = (
        torch.linalg.eigvalsh(torch.tensor([[float(each) for each in row] for row in matrix]))[-1]
        for matrix in (hilbert_matrix(dim), hilbert_inverse(dim))
    )
    return math.prod(each.item() for each in largest)


def _breaking_point(
    left: Callable[[torch.Tensor, int], float], problem: Hilbert, budget: float
) -> float:
    """Halfway between the last number of powers with which that many steps reach the target and the next."""
    for dim in range(1, MOST + 1):
        if left(replace(problem, dim=dim).curvatures(), int(budget)) > problem.card.target:
            return dim - 0.5
    return math.inf


@register("hilbert")
@dataclass(frozen=True)
class Hilbert(QuadraticForm):
    """Fitting a polynomial by its coefficients of 1, t, t², …, which all look alike.

    f(x) = ½ ∫ (p(t) − q(t))² dt from 0 to 1 = ½ (x − m)ᵀ H (x − m), H_ij = 1/(i + j − 1), where
    x and m hold the coefficients of p and q.

    The condition number, which no one has put there, is 19 for two powers, 1.6e4 for four, 1.6e13 for
    ten: descent's steps grow like e^(3.5 dim). The start is m + R⁻¹ z with Gaussian z and
    H = RᵀR, so that every mode counts alike in the gap; R and its inverse are the integrals of
    Legendre's polynomials and their coefficients, exact. Other coordinates cure it: in Legendre's
    basis H is the identity.

    dim: how many powers, at most 12; those of fewer are those of more, cut.
    basis: "powers", or "legendre" for the same polynomials in Legendre's orthonormal basis.

    Hilbert 1894; Todd 1954, "The condition of the finite segments of the Hilbert matrix"; Deep
    Learning, section 8.2.1.
    """

    dim: int = 4
    basis: Basis = "powers"

    card = Card(
        dial="dim",
        scale="linear",
        ladder=(2, 4, 10),
        target=1e-4,
        budget=1000,
        reference=("newton", {}),
        control={"basis": "legendre"},
        signature="largest over smallest curvature at the start",
        threshold=10.0,
        truth="One minimum, 0 at m, and no other critical point; the Hessian is Hilbert's matrix, "
        "whose inverse is integer, and whose condition number comes near "
        "(1 + √2)^(4 dim) over √dim times 0.25.",
        source="Hilbert 1894; Todd 1954",
        theory={
            "sgd": partial(_breaking_point, gap_left_by_descent),
            "momentum": partial(_breaking_point, gap_left_by_momentum),
        },
    )

    def __post_init__(self) -> None:
        require("hilbert", "dim", self.dim, low=1, high=MOST, whole=True)
        if self.basis not in get_args(Basis):
            allowed = nearest(str(self.basis), get_args(Basis))
            raise Refused(f"hilbert.basis is {self.basis!r}: {allowed}")

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer, z = torch.randn(2, MOST, generator=generator)[:, : self.dim]
        root, inverse = (torch.tensor(each) for each in self._roots())
        return {
            "start": minimizer + inverse @ z,
            "minimizer": minimizer,
            "root": root,
            "hessian": torch.tensor(self._hessian()),
        }

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.value_and_gradient(x, data)[0]

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        """½ |R (x − m)|²: never negative, and exact to rounding where (x − m)ᵀ H (x − m) cancels."""
        residuals = self.residuals(x, data)
        gradient = torch.einsum("...i,...ij->...j", residuals, data["root"])
        return 0.5 * residuals.square().sum(-1), gradient

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return torch.einsum("...j,...ij->...i", x - data["minimizer"], data["root"])

    def signature(self, data: Tree) -> float:
        """By the singular values of R, which are the roots of the curvatures, to more digits."""
        scales = torch.linalg.svdvals(data["root"])
        return (scales[0] / scales[-1]).square().item()

    def curvatures(self) -> torch.Tensor:
        """The eigenvalues of H, from the smallest: (dim,)."""
        root, _ = self._roots()
        return torch.linalg.svdvals(torch.tensor(root, dtype=torch.float64)).square().flip(0)

    def _roots(self) -> tuple[list[list[float]], list[list[float]]]:
        """R and R⁻¹, both upper triangular, where RᵀR = H.

        Column k of R⁻¹ holds the coefficients of Legendre's polynomial of degree k on [0, 1], of
        integral 1 squared: √(2k+1) (−1)^(j+k) C(k, j) C(k+j, j). R has its integrals with t^j,
        √(2k+1) j!²/((j−k)! (j+k+1)!).
        """
        n = range(self.dim)
        if self.basis == "legendre":
            identity = [[float(k == j) for j in n] for k in n]
            return identity, identity
        root = [
            [
                math.sqrt(2 * k + 1) * comb(j, k) / ((j + k + 1) * comb(j + k, k))
                if j >= k
                else 0.0
                for j in n
            ]
            for k in n
        ]
        inverse = [
            [(-1) ** (j + k) * math.sqrt(2 * k + 1) * comb(k, j) * comb(k + j, j) for k in n]
            for j in n
        ]
        return root, inverse

    def _hessian(self) -> list[list[float]]:
        if self.basis == "legendre":
            return self._roots()[0]
        return [[float(each) for each in row] for row in hilbert_matrix(self.dim)]

    @Claim(
        "the largest relative deviation of the condition numbers for 2, 4, 6, 8 and 10 powers "
        "from 19.2815, 15513.7, 1.495e7, 1.526e10 and 1.602e13",
        stated=0.0,
        within=(0.0, 5e-4),  # the figures' digits
        source="Todd 1954; computed from the exact inverse",
    )
    def condition_numbers(self) -> float:
        stated = {2: 19.2815, 4: 15513.7, 6: 1.495e7, 8: 1.526e10, 10: 1.602e13}
        return max(abs(hilbert_condition(dim) / value - 1) for dim, value in stated.items())

    @Claim(
        "the condition number for 10 powers, over what the asymptotic law gives, 1.595e13",
        stated=1.0,
        within=about(1.0, rel=0.01),  # the law's next term is of the order 1/n
        source="Szegő 1936; Wilf 1970, Finite Sections of Some Classical Inequalities",
    )
    def asymptotic_condition(self) -> float:
        """λmin at n + 1 powers ~ 2^(15/4) π^(3/2) √n (1 + √2)^(−4(n+1)), and λmax = 1.7519."""
        smallest = SZEGO * math.sqrt(9) * GROWTH**-9
        return hilbert_condition(10) / (1.7519 / smallest)

    @Claim(
        "the logarithm of the factor by which one more power, the twelfth, multiplies the condition",
        stated=3.5,
        within=about(3.5, abs=0.05),
        source="derived: 4 ln(1 + √2) = 3.525, less ½ ln(11/10) for the law's root",
    )
    def growth_with_each_power(self) -> float:
        return math.log(hilbert_condition(12) / hilbert_condition(11))

    @Claim(
        "the largest entry of H H⁻¹ − I in exact arithmetic, over all dimensions up to 12",
        stated=0.0,
        within=(0.0, 0.0),
        source="Hilbert 1894: the inverse is integer",
    )
    def error_of_integer_inverse(self) -> float:
        worst = Fraction(0)
        for dim in range(1, MOST + 1):
            matrix, inverse = hilbert_matrix(dim), hilbert_inverse(dim)
            for i in range(dim):
                for j in range(dim):
                    entry = sum(matrix[i][k] * inverse[k][j] for k in range(dim))
                    worst = max(worst, abs(entry - (i == j)))
        return float(worst)

    @Claim(
        "the steps that gradient descent needs for 3 powers over those for 2, by condition numbers",
        stated=1.0,
        within=about(1.0, rel=0.1),
        source="Cauchy 1847: ½ κ ln(1/target) steps at the best rate",
    )
    def descents_steps(self) -> float:
        """From starts that hold all their gap in the slowest mode, so that its rate alone is measured.

        At 2/(λmax + λmin) its error keeps (κ − 1)/(κ + 1) a step.
        """
        needed = {}
        for dim in (2, 3):
            problem = replace(self, dim=dim)
            data = problem.example()
            curvatures, basis = torch.linalg.eigh(data["hessian"])
            x, lr = data["minimizer"] + basis[:, 0], 2 / (curvatures[-1] + curvatures[0])
            first = problem.loss(x, data)
            steps = 0
            while problem.loss(x, data) > self.card.target * first:
                x = x - lr * problem.value_and_gradient(x, data)[1]
                steps += 1
            needed[dim] = steps
        return needed[3] / needed[2] / (hilbert_condition(3) / hilbert_condition(2))

    def portrait(self) -> Curves:
        dims = torch.arange(2, MOST + 1)
        conditions = torch.tensor([hilbert_condition(dim) for dim in dims.tolist()])
        n = dims - 1
        law = torch.pi * GROWTH ** n.double() / (SZEGO * n.sqrt())
        return Curves(
            caption="With each power the condition number grows 34-fold; π over Szegő's law for the "
            "smallest curvature is what it comes to in the long run.",
            x_label="powers",
            y_label="condition number",
            dots={"from the exact inverse": (dims, conditions)},
            lines={"π over Szegő's law": (dims, law)},
            y_scale="log",
        )
