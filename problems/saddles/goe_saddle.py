"""A critical point with a random symmetric matrix for its Hessian, which is hardly ever positive."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from problems.claims import Claim, about
from problems.portrait import Curves
from problems.problem import Card, Tree
from problems.registry import register
from problems.saddles.newton_iteration import directions_down, end_of_newton
from problems.saddles.walled_form import WalledForm
from ravine import require

SAMPLES = 200_000
EXACT = {1: 1 / 2, 2: (2 - math.sqrt(2)) / 4, 3: (math.pi - 2 * math.sqrt(2)) / (4 * math.pi)}
DECAY = math.log(3) / 4
NODES = 200  # of Gauss and Legendre's rule: many more than the integrands' 40 oscillations need


def share_of_minima(dim: int) -> float:
    """The probability that no eigenvalue is negative, as a Pfaffian; to nine digits for dim up to 30.

    Their density is |Δ(x)| Π w(x_i)/Z, with Vandermonde's determinant Δ and w = e^(−x²/2) in the unit √2. The
    integral of a determinant of functions φ_j over x₁ < … < x_n is the Pfaffian of ∬ sgn(y − x) φ_j(x) φ_k(y),
    bordered by ∫ φ_j where n is odd (de Bruijn 1955); Z is Mehta's integral. The φ_j are the
    polynomials for which the φ_j w are orthonormal: with powers of x nothing would be left.
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


def breaking_point_of_newton(problem: GoeSaddle, budget: float) -> float:
    """Where half of the centres are minima: at one dimension, and nowhere beyond."""
    return 1.0


def _standard_errors(share: float) -> tuple[float, float]:
    """Three of them around the share of `SAMPLES`."""
    return about(share, abs=3 * math.sqrt(share * (1 - share) / SAMPLES))


@register("goe_saddle")
@dataclass(frozen=True)
class GoeSaddle(WalledForm):
    """A critical point with a random symmetric matrix for its Hessian, which is hardly ever positive.

    f(x) = ½ yᵀ H y + (q/4)|y|⁴, y = x − c, H from the Gaussian orthogonal ensemble: independent N(0, 1) off the
    diagonal, N(0, 2) on it.

    If the signs of the eigenvalues were coins, one in 2^dim such points would be a minimum. But
    eigenvalues repel each other, and the share is far smaller: ½, (2 − √2)/4 and (π − 2√2)/4π for dim
    1, 2 and 3, then 0.0025, 0.00014, …, in the end e^(−(ln 3/4) dim²). That is how often Newton's
    method, which ends at c, has found a minimum. Descent leaves c, and has only the gap between the two
    lowest eigenvalues to cope with, some dim^(2/3) times as small as the largest.

    The start is half as far from c as Newton's method may start to be sure to end there.

    dim: x is (dim,).
    lift: adds lift·√dim to all eigenvalues, which else lie between ±2√dim. Above 2, for large dim, c is the
        minimum and there is no other critical point.
    wall: q; it only sets the unit of length.

    Dean & Majumdar 2006, arXiv:cond-mat/0609651; Deep Learning, section 8.2.3.
    """

    dim: int = 10
    lift: float = 0.0
    wall: float = 0.01

    card = Card(
        dial="dim",
        scale="log",
        ladder=(1, 4, 20),
        target=1e-4,
        budget=1000,
        reference=("momentum", {"lr": 0.03, "momentum": 0.9}),
        control={"lift": 4.0},
        signature="directions down where Newton's method ends",
        threshold=1.0,
        truth="Two minima, −λ₁²/4q, on the axis of the lowest eigenvalue; all other critical points "
        "are known, and saddles. Where no eigenvalue is negative, one minimum, 0, and no other "
        "critical point: a share of (1/2, 0.146, 0.025, …, e^(−(ln 3/4) dim²)).",
        source="Dean & Majumdar 2006; Goodfellow, Bengio & Courville 2016, section 8.2.3",
        theory={"newton": breaking_point_of_newton},
    )

    def __post_init__(self) -> None:
        require("goe_saddle", "dim", self.dim, low=1, whole=True)
        require("goe_saddle", "lift", self.lift)
        require("goe_saddle", "wall", self.wall, low=0, open_low=True)

    def matrices(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """That many H: (count, dim, dim)."""
        drawn = torch.randn(count, self.dim, self.dim, generator=generator)
        lift = self.lift * math.sqrt(self.dim)
        return (drawn + drawn.mT) / math.sqrt(2) + lift * torch.eye(self.dim)

    def instance(self, generator: torch.Generator) -> Tree:
        curvatures, basis = torch.linalg.eigh(self.matrices(1, generator)[0])
        return self.start_near(curvatures, basis, generator)

    def signature(self, data: Tree) -> float:
        return float(directions_down(self, data, end_of_newton(self, data)))

    def sampled_share(self, dim: int) -> float:
        """Of `SAMPLES` matrices in this dimension, those without a negative eigenvalue."""
        matrices = replace(self, dim=dim).matrices(SAMPLES, torch.Generator().manual_seed(0))
        return (torch.linalg.cholesky_ex(matrices).info == 0).double().mean().item()

    def portrait(self) -> Curves:
        dims = torch.arange(1, 21)
        few = dims[:4]
        exact = torch.tensor([share_of_minima(dim) for dim in dims.tolist()]).log()
        sampled = torch.tensor([self.sampled_share(dim) for dim in few.tolist()]).log()
        return Curves(
            caption="Minima are rarer than coins say: their share falls like e^(−0.27 dim²), not 2^−dim.",
            x_label="dim",
            y_label="−ln(share of minima)/dim²",
            lines={
                "random matrix": (dims, -exact / dims.square()),
                "in the end, ln 3/4": (dims, torch.full((20,), DECAY)),
                "coins": (dims, math.log(2) / dims),
            },
            dots={f"{SAMPLES} matrices": (few, -sampled / few.square())},
        )

    @Claim(
        "share of the centres that are minima in 1 dimension",
        stated=EXACT[1],
        within=_standard_errors(EXACT[1]),
        source="a Gaussian is positive",
    )
    def minima_in_1_dimension(self) -> float:
        return self.sampled_share(1)

    @Claim(
        "share of the centres that are minima in 2 dimensions",
        stated=EXACT[2],
        within=_standard_errors(EXACT[2]),
        source="Dean & Majumdar 2006: (2 − √2)/4",
    )
    def minima_in_2_dimensions(self) -> float:
        return self.sampled_share(2)

    @Claim(
        "share of the centres that are minima in 3 dimensions",
        stated=EXACT[3],
        within=_standard_errors(EXACT[3]),
        source="Dean & Majumdar 2006: (π − 2√2)/4π",
    )
    def minima_in_3_dimensions(self) -> float:
        return self.sampled_share(3)

    @Claim(
        "share of the centres that are minima in 4 dimensions, by the Pfaffian",
        stated="what sampling finds",
        within=about(0.002456, abs=3 * 3.5e-5),  # 2e6 matrices: three standard errors
        source="sampled",
    )
    def minima_in_4_dimensions(self) -> float:
        return share_of_minima(4)

    @Claim(
        "what is left of −½ ln(share of minima) per dim², in the end",
        stated=DECAY,
        within=about(
            DECAY, abs=1e-4
        ),  # a factor dim^-a of the share takes a/800 of it; a is near 1/24
        source="Dean & Majumdar 2006: ln 3/4",
    )
    def decay(self) -> float:
        """Half the second difference of −ln(share) at dim 18, 20 and 22, over 4."""
        before, here, after = (-math.log(share_of_minima(dim)) for dim in (18, 20, 22))
        return (before - 2 * here + after) / 8

    @Claim(
        "share of Newton's runs that end in a minimum, in 2 dimensions",
        stated=EXACT[2],
        within=about(EXACT[2], abs=3 * math.sqrt(0.146447 * 0.853553 / 300)),
        source="Newton's method ends at the centre, whatever it is",
    )
    def newton_share(self) -> float:
        """Of 300 instances; within three standard errors."""
        problem = replace(self, dim=2)
        generator = torch.Generator().manual_seed(0)
        drawn = [problem.instance(generator) for _ in range(300)]
        data = {name: torch.stack([each[name] for each in drawn]) for name in drawn[0]}
        ends = end_of_newton(problem, data, steps=12)  # cubic convergence from ρ/2
        at_minimum = problem.distance(ends, data) < 1e-6
        return at_minimum.double().mean().item()
